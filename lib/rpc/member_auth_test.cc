// Two members on loopback. The callee serves NodeService to members alone; the
// clocks are fake ones, so that sessions end when the test says so.

#include "lib/rpc/member_auth.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cairn/common/v1/member_auth_service.grpc.pb.h"
#include "cairn/storage/v1/node_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/member_proof.h"
#include "lib/rpc/server.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace rpc {
namespace {

using ::testing::HasSubstr;
using NodeService = storage::v1::NodeService;

constexpr char kSecret[] = "a secret of the cluster";
constexpr char kCluster[] = "00112233-4455-6677-8899-aabbccddeeff";
constexpr char kOtherCluster[] = "99112233-4455-6677-8899-aabbccddeeff";
constexpr char kNode[] = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
constexpr char kServer[] = "11111111-2222-4333-8444-555555555555";
constexpr char kGetState[] = "/cairn.storage.v1.NodeService/GetState";
constexpr char kListJobs[] = "/cairn.storage.v1.NodeService/ListJobs";

// Answers with who calls.
class MembersOnly : public NodeService::CallbackService {
 public:
  explicit MembersOnly(MemberAuthServer* auth) : auth_(auth) {}

  grpc::ServerUnaryReactor* GetState(
      grpc::CallbackServerContext* context,
      const storage::v1::GetStateRequest* request,
      storage::v1::GetStateResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const absl::StatusOr<std::string> caller =
        auth_->Check(*context, kGetState);
    if (caller.ok()) response->set_name(*caller);
    reactor->Finish(ToGrpcStatus(caller.status()));
    return reactor;
  }

 private:
  MemberAuthServer* const auth_;
};

// A member that is called.
struct Callee {
  Callee(const std::string& secret, Clock* clock) {
    MemberSessionsOptions options;
    options.cluster_secret = secret;
    options.cluster_id = kCluster;
    options.node_uuid = kServer;
    auth = std::make_unique<MemberAuthServer>(options, clock, &registry);
    service = std::make_unique<MembersOnly>(auth.get());
  }

  void Start(const std::string& listen) {
    RpcServerOptions options;
    options.listen = {listen};
    auto started = RpcServer::Start(
        options,
        {{NodeService::service_full_name(), service.get()}, auth->service()});
    ASSERT_THAT(started, IsOk());
    rpc = *std::move(started);
  }

  MetricsRegistry registry;
  std::unique_ptr<MemberAuthServer> auth;
  std::unique_ptr<MembersOnly> service;
  std::unique_ptr<RpcServer> rpc;
};

class MemberAuthTest : public ::testing::Test {
 protected:
  void SetUp() override {
    callee_ = std::make_unique<Callee>(kSecret, &callee_clock_);
    callee_->Start("127.0.0.1:0");
    channel_ = MakeChannel(callee_->rpc->addresses()[0]);
  }

  static MemberAuthClientOptions Options() {
    MemberAuthClientOptions options;
    options.cluster_secret = kSecret;
    options.cluster_id = kCluster;
    options.node_uuid = kNode;
    options.handshake_timeout = absl::Seconds(60);
    return options;
  }

  // The name of the caller as the callee sees it, without another attempt.
  absl::StatusOr<std::string> CallOnce(MemberAuthClient* auth,
                                       const char* sign = kGetState) {
    grpc::ClientContext context;
    SetTimeout(&context, absl::Seconds(60));
    context.set_wait_for_ready(true);
    const absl::Status authorized = auth->AuthorizeAndWait(sign, &context);
    if (!authorized.ok()) return authorized;
    return Call(&context);
  }

  absl::StatusOr<std::string> Call(grpc::ClientContext* context) {
    storage::v1::GetStateResponse response;
    const absl::Status status =
        FromGrpcStatus(NodeService::NewStub(channel_)->GetState(
            context, storage::v1::GetStateRequest(), &response));
    if (!status.ok()) return status;
    return response.name();
  }

  double Refused(const std::string& cause) {
    return callee_->registry.Read("cairn_rpc_member_calls_refused_total",
                                  {{"cause", cause}});
  }
  double Challenges() {
    return callee_->registry.Read("cairn_rpc_member_challenges_total");
  }

  FakeClock clock_;
  FakeClock callee_clock_;
  std::unique_ptr<Callee> callee_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(MemberAuthTest, OneHandshakeServesManyCalls) {
  MemberAuthClient auth(channel_, Options(), &clock_);
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(CallOnce(&auth), IsOkAndHolds(kNode));
  }
  EXPECT_EQ(Challenges(), 1);
  callee_->registry.Text();
  EXPECT_EQ(callee_->registry.Read("cairn_rpc_member_sessions"), 1);
  EXPECT_EQ(Refused("proof"), 0);
}

TEST_F(MemberAuthTest, CallsOfManyThreadsShareASession) {
  MemberAuthClient auth(channel_, Options(), &clock_);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) good += CallOnce(&auth).ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
  EXPECT_EQ(Challenges(), 1);
}

TEST_F(MemberAuthTest, StrangersAreRefused) {
  grpc::ClientContext nothing;
  SetTimeout(&nothing, absl::Seconds(60));
  absl::StatusOr<std::string> answer = Call(&nothing);
  EXPECT_THAT(answer, StatusIs(absl::StatusCode::kUnauthenticated,
                               HasSubstr("carries no proof")));
  EXPECT_EQ(ReasonOf(answer.status()), ErrorReason::kNotAMember);

  grpc::ClientContext made_up;
  SetTimeout(&made_up, absl::Seconds(60));
  made_up.AddMetadata(kMemberProofKey, "let me in");
  EXPECT_EQ(ReasonOf(Call(&made_up).status()), ErrorReason::kNotAMember);

  // A good one beside another.
  MemberAuthClient auth(channel_, Options(), &clock_);
  grpc::ClientContext twice;
  SetTimeout(&twice, absl::Seconds(60));
  ASSERT_THAT(auth.AuthorizeAndWait(kGetState, &twice), IsOk());
  ASSERT_THAT(auth.AuthorizeAndWait(kGetState, &twice), IsOk());
  EXPECT_EQ(ReasonOf(Call(&twice).status()), ErrorReason::kNotAMember);
  EXPECT_EQ(Refused("proof"), 3);
}

TEST_F(MemberAuthTest, AProofForAnotherMethodIsRefused) {
  MemberAuthClient auth(channel_, Options(), &clock_);
  const auto answer = CallOnce(&auth, kListJobs);
  EXPECT_THAT(answer, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(ReasonOf(answer.status()), ErrorReason::kNotAMember);
  EXPECT_FALSE(auth.IsSessionLost(answer.status()));
}

TEST_F(MemberAuthTest, ACallerWithAnotherSecretFindsOutBeforeTheCall) {
  MemberAuthClientOptions options = Options();
  options.cluster_secret = "the secret of nobody here";
  MemberAuthClient auth(channel_, options, &clock_);
  const auto answer = CallOnce(&auth);
  EXPECT_THAT(answer, StatusIs(absl::StatusCode::kUnauthenticated,
                               HasSubstr("cluster secret")));
  EXPECT_EQ(ReasonOf(answer.status()), ErrorReason::kNotAMember);
}

TEST_F(MemberAuthTest, AnotherClusterAndAnotherNodeAreToldApart) {
  MemberAuthClientOptions options = Options();
  options.cluster_id = kOtherCluster;
  MemberAuthClient elsewhere(channel_, options, &clock_);
  auto answer = CallOnce(&elsewhere);
  EXPECT_THAT(answer, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(answer.status()), ErrorReason::kWrongCluster);

  options = Options();
  options.server_uuid = kNode;
  MemberAuthClient wrong_node(channel_, options, &clock_);
  answer = CallOnce(&wrong_node);
  EXPECT_THAT(answer, StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr(kServer)));
  EXPECT_EQ(ReasonOf(answer.status()), ErrorReason::kUnknownNode);

  options.server_uuid = kServer;
  MemberAuthClient right_node(channel_, options, &clock_);
  EXPECT_THAT(CallOnce(&right_node), IsOkAndHolds(kNode));
}

TEST_F(MemberAuthTest, BeginsAnewWhenTheServerHasForgottenTheSession) {
  MemberAuthClient auth(channel_, Options(), &clock_);
  ASSERT_THAT(CallOnce(&auth), IsOk());
  callee_clock_.Advance(absl::Hours(2));
  const auto expired = CallOnce(&auth);
  ASSERT_THAT(expired, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_TRUE(auth.IsSessionLost(expired.status()));
  EXPECT_THAT(CallOnce(&auth), IsOkAndHolds(kNode));
  EXPECT_EQ(Challenges(), 2);
  // A call that failed late does not end the session that came after.
  EXPECT_TRUE(auth.IsSessionLost(expired.status()));
  EXPECT_THAT(CallOnce(&auth), IsOk());
  EXPECT_EQ(Challenges(), 2);
  EXPECT_EQ(Refused("session"), 1);
}

TEST_F(MemberAuthTest, BeginsAnewAfterARestartOfTheServer) {
  MemberAuthClient auth(channel_, Options(), &clock_);
  ASSERT_THAT(CallOnce(&auth), IsOk());
  const std::string address = callee_->rpc->addresses()[0];
  callee_.reset();
  callee_ = std::make_unique<Callee>(kSecret, &callee_clock_);
  callee_->Start(address);
  absl::StatusOr<std::string> answer = CallOnce(&auth);
  if (answer.status().code() == absl::StatusCode::kUnavailable) {
    answer = CallOnce(&auth);  // The old connection was still known.
  }
  ASSERT_THAT(answer, StatusIs(absl::StatusCode::kUnauthenticated));
  ASSERT_TRUE(auth.IsSessionLost(answer.status()));
  EXPECT_THAT(CallOnce(&auth), IsOkAndHolds(kNode));
}

TEST_F(MemberAuthTest, ASessionIsRenewedBeforeItEnds) {
  MemberAuthClient auth(channel_, Options(), &clock_);
  ASSERT_THAT(CallOnce(&auth), IsOk());
  clock_.JumpTo(clock_.Now() + absl::Hours(24));
  ASSERT_THAT(CallOnce(&auth), IsOk());
  EXPECT_EQ(Challenges(), 1);
  clock_.Advance(absl::Minutes(45));
  callee_clock_.Advance(absl::Minutes(46));
  ASSERT_THAT(CallOnce(&auth), IsOk());
  EXPECT_EQ(Challenges(), 2);
}

TEST_F(MemberAuthTest, NobodyAtTheOtherEndIsUnavailable) {
  callee_->rpc->Stop(absl::ZeroDuration());
  MemberAuthClient auth(channel_, Options(), &clock_);
  grpc::ClientContext context;
  SetTimeout(&context, absl::Seconds(60));
  EXPECT_THAT(auth.AuthorizeAndWait(kGetState, &context),
              StatusIs(absl::StatusCode::kUnavailable));
}

// Answers a challenge when it is told to, and then with nonsense.
class SlowAuthService : public common::v1::MemberAuthService::CallbackService {
 public:
  class Held : public grpc::ServerUnaryReactor {
   public:
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }
  };

  grpc::ServerUnaryReactor* Challenge(
      grpc::CallbackServerContext* context,
      const common::v1::ChallengeRequest* request,
      common::v1::ChallengeResponse* response) override {
    Held* const reactor = new Held;
    {
      MutexLock lock(&mu_);
      held_ = reactor;
    }
    entered.Notify();
    return reactor;
  }

  void Release() {
    MutexLock lock(&mu_);
    held_->Finish(grpc::Status::OK);
  }

  Notification entered;

 private:
  Mutex mu_;
  Held* held_ ABSL_GUARDED_BY(mu_) = nullptr;
};

class SlowMemberAuthTest : public MemberAuthTest {
 protected:
  void SetUp() override {
    RpcServerOptions options;
    options.listen = {"127.0.0.1:0"};
    auto started = RpcServer::Start(
        options,
        {{common::v1::MemberAuthService::service_full_name(), &service_}});
    ASSERT_THAT(started, IsOk());
    rpc_ = *std::move(started);
    channel_ = MakeChannel(rpc_->addresses()[0]);
  }

  SlowAuthService service_;
  std::unique_ptr<RpcServer> rpc_;
};

TEST_F(SlowMemberAuthTest, WaitingCallsAreBoundedAndAllAreAnswered) {
  MemberAuthClientOptions options = Options();
  options.waiting_max = 2;
  MemberAuthClient auth(channel_, options, &clock_);
  grpc::ClientContext contexts[3];
  absl::Status answers[3];
  Notification done[3];
  for (int i = 0; i < 3; ++i) {
    auth.Authorize(kGetState, &contexts[i], [&, i](const absl::Status& status) {
      answers[i] = status;
      done[i].Notify();
    });
  }
  done[2].WaitForNotification();
  EXPECT_THAT(answers[2], StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_FALSE(done[0].HasBeenNotified());
  service_.entered.WaitForNotification();
  service_.Release();
  for (int i = 0; i < 2; ++i) {
    done[i].WaitForNotification();
    EXPECT_THAT(answers[i], StatusIs(absl::StatusCode::kInternal));
  }
}

TEST_F(SlowMemberAuthTest, DestructionEndsAHandshakeAndAnswersWhoWaits) {
  auto auth = std::make_unique<MemberAuthClient>(channel_, Options(), &clock_);
  grpc::ClientContext context;
  absl::Status answer;
  Notification done;
  auth->Authorize(kGetState, &context, [&](const absl::Status& status) {
    answer = status;
    done.Notify();
  });
  service_.entered.WaitForNotification();
  auth.reset();
  ASSERT_TRUE(done.HasBeenNotified());
  EXPECT_THAT(answer, StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
