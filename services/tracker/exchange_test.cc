// Trackers that tell each other what they know, in one process on loopback, and
// strangers that want to join in. Time is the test's, one clock for all; where
// the test waits, it waits for a message.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cairn/config/tracker/v1/tracker_config.pb.h"
#include "cairn/tracker/v1/membership_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/certificates.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/tracker/api/testing/tracker_harness.h"
#include "services/tracker/tracker_server.h"

namespace cairn {
namespace tracker {
namespace {

using ::testing::HasSubstr;

constexpr char kStranger[] = "cccccccc-0000-4000-8000-000000000001";

class ExchangeTest : public ::testing::Test {
 protected:
  // A tracker that knows of `others`, on an address of its own.
  std::unique_ptr<TrackerServer> Start(
      const std::string& data_dir, const std::vector<std::string>& others,
      const std::string& listen = "127.0.0.1:0") {
    auto config = Config(data_dir);
    config.set_listen(0, listen);
    config.mutable_exchange_interval()->set_nanos(20000000);
    for (const std::string& other : others) config.add_trackers(other);
    auto server = TrackerServer::Start(config, FileSystem::Real(), &clock_);
    EXPECT_THAT(server, IsOk());
    return server.ok() ? *std::move(server) : nullptr;
  }

  static std::string AddressOf(const std::unique_ptr<TrackerServer>& server) {
    return server->addresses().front();
  }

  // Asks until a counter is not 0 any more: rounds are not told to watchers.
  static void AwaitCounter(const TrackerServer& server,
                           const std::string& counter) {
    const std::string zero = absl::StrCat("\n", counter, " 0\n");
    Mutex mu;
    CondVar never;
    MutexLock lock(&mu);
    while (absl::StrContains(server.metrics().Text(), zero)) {
      never.WaitWithTimeout(&mu, absl::Milliseconds(5));
    }
    EXPECT_THAT(server.metrics().Text(), HasSubstr(counter));
  }

  FakeClock clock_;
};

TEST_F(ExchangeTest, ADecisionAtOneIsSoonKnownAtTheOther) {
  auto one = Start(NewDirectory(), {});
  auto two = Start(NewDirectory(), {AddressOf(one)});
  FakeNode here(AddressOf(one));
  here.Attach(1);
  FakeNode there(AddressOf(two));
  there.Attach(1);
  Watcher first(AddressOf(one));
  Watcher second(AddressOf(two));

  // Either way, though only one of them calls.
  ASSERT_THAT(Operator(AddressOf(one)).SetRole(1, v1::NODE_ROLE_DRAINING),
              IsOk());
  EXPECT_TRUE(first.UntilRole(1, v1::NODE_ROLE_DRAINING));
  EXPECT_TRUE(second.UntilRole(1, v1::NODE_ROLE_DRAINING));
  ASSERT_THAT(Operator(AddressOf(two)).SetRole(1, v1::NODE_ROLE_READ_ONLY),
              IsOk());
  EXPECT_TRUE(second.UntilRole(1, v1::NODE_ROLE_READ_ONLY));
  EXPECT_TRUE(first.UntilRole(1, v1::NODE_ROLE_READ_ONLY));

  // The streams of a node that is removed end at both.
  ASSERT_THAT(Operator(AddressOf(one)).Remove(1, /*force=*/true), IsOk());
  EXPECT_TRUE(second.UntilGone(1));
  EXPECT_EQ(ReasonOf(here.End()), ErrorReason::kNodeRemoved);
  EXPECT_EQ(ReasonOf(there.End()), ErrorReason::kNodeRemoved);
}

TEST_F(ExchangeTest, AQuotaThatIsDecidedAtOneIsToldToNodesOfTheOther) {
  auto one = Start(NewDirectory(), {});
  auto two = Start(NewDirectory(), {AddressOf(one)});
  FakeNode node(AddressOf(two));
  const v1::GroupPeers first = node.Attach(1);
  EXPECT_EQ(first.quotas_size(), 0);
  {
    FakeNode known_there(AddressOf(one));
    known_there.Attach(2);
    v1::SetGroupRequest group;
    group.set_group("group1");
    group.set_quota_bytes(uint64_t{1} << 40);
    group.set_reason("they share the disks");
    const auto told = Operator(AddressOf(one)).SetGroup(group);
    ASSERT_THAT(told, IsOk());
    EXPECT_EQ(told->account().decisions_size(), 1);
  }
  v1::SetClientRequest client;
  client.set_identity("alice");
  client.set_quota_files(5);
  ASSERT_THAT(Operator(AddressOf(one)).SetClient(client), IsOk());
  v1::GroupPeers heard;
  while (heard.quotas_size() < 2) {
    const v1::AttachResponse message = node.Read();
    ASSERT_TRUE(message.has_peers());
    heard = message.peers();
  }
  EXPECT_EQ(heard.quotas(0).field(), v1::DECISION_FIELD_GROUP_QUOTA_BYTES);
  EXPECT_EQ(heard.quotas(0).subject(), "group1");
  EXPECT_EQ(heard.quotas(0).value(), uint64_t{1} << 40);
  EXPECT_EQ(heard.quotas(0).reason(), "");
  EXPECT_EQ(heard.quotas(1).field(), v1::DECISION_FIELD_CLIENT_QUOTA_FILES);
  EXPECT_EQ(heard.quotas(1).subject(), "alice");
  EXPECT_EQ(heard.quotas(1).value(), 5u);
  const auto list = Operator(AddressOf(two)).List();
  ASSERT_THAT(list, IsOk());
  ASSERT_EQ(list->decisions_size(), 2);
  EXPECT_EQ(list->decisions(0).reason(), "they share the disks");

  // Taken back at the other one, the stream is told.
  v1::SetGroupRequest back;
  back.set_group("group1");
  back.set_quota_bytes(0);
  ASSERT_THAT(Operator(AddressOf(two)).SetGroup(back), IsOk());
  while (heard.quotas(0).has_value()) {
    const v1::AttachResponse message = node.Read();
    ASSERT_TRUE(message.has_peers());
    heard = message.peers();
    ASSERT_EQ(heard.quotas_size(), 2);
  }
}

TEST_F(ExchangeTest, ANodeThatReachesOneTrackerIsKnownToAll) {
  auto one = Start(NewDirectory(), {});
  auto two = Start(NewDirectory(), {AddressOf(one)});
  auto three = Start(NewDirectory(), {AddressOf(one), AddressOf(two)});
  FakeNode node(AddressOf(one));
  node.Attach(1);
  for (const auto* server : {&two, &three}) {
    Watcher watcher(AddressOf(*server));
    ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));
    EXPECT_EQ(watcher.Find(1)->heard_by(), AddressOf(one));
  }
  // What it says there arrives here,
  Watcher watcher(AddressOf(two));
  v1::NodeReport report = Report();
  report.set_priority(9);
  node.SendReport(report);
  EXPECT_TRUE(watcher.UntilNode(
      1, [](const v1::Node& seen) { return seen.report().priority() == 9; }));
  // and that it is silent.
  node.Break();
  EXPECT_TRUE(watcher.UntilState(1, v1::NODE_STATE_SUSPECT));
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(watcher.UntilState(1, v1::NODE_STATE_OFFLINE));
}

TEST_F(ExchangeTest, WithTheTrackerThatHearsItANodeGoes) {
  auto one = Start(NewDirectory(), {});
  auto two = Start(NewDirectory(), {AddressOf(one)});
  auto three = Start(NewDirectory(), {AddressOf(one), AddressOf(two)});
  Watcher watcher(AddressOf(three));
  {
    FakeNode node(AddressOf(one));
    node.Attach(1);
    ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));
    one.reset();
  }
  // The two that are left cannot keep it alive between them.
  clock_.Advance(absl::Seconds(3));
  EXPECT_TRUE(watcher.UntilState(1, v1::NODE_STATE_SUSPECT));
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(watcher.UntilState(1, v1::NODE_STATE_OFFLINE));
}

TEST_F(ExchangeTest, ATrackerWithAnEmptyDiskLearnsEverything) {
  const std::string one_dir = NewDirectory();
  auto one = Start(one_dir, {});
  const std::string one_address = AddressOf(one);
  auto two = Start(NewDirectory(), {one_address});
  {
    FakeNode node(one_address);
    node.Attach(1);
    FakeNode other(one_address);
    other.Attach(2);
    Watcher watcher(AddressOf(two));
    ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));
    ASSERT_TRUE(watcher.UntilState(2, v1::NODE_STATE_ACTIVE));
  }
  ASSERT_THAT(Operator(one_address).SetRole(1, v1::NODE_ROLE_STANDBY), IsOk());
  ASSERT_THAT(Operator(one_address).Remove(2, /*force=*/true), IsOk());
  Watcher watcher(AddressOf(two));
  ASSERT_TRUE(watcher.UntilRole(1, v1::NODE_ROLE_STANDBY));
  ASSERT_TRUE(watcher.UntilGone(2));
  one.reset();

  // In the place of the first: nothing on its disk, no node attached.
  one = Start(NewDirectory(), {}, one_address);
  Watcher anew(one_address);
  ASSERT_TRUE(anew.UntilRole(1, v1::NODE_ROLE_STANDBY));
  EXPECT_EQ(anew.Find(2), nullptr);
  const auto list = Operator(one_address).List();
  ASSERT_THAT(list, IsOk());
  // The role, the removal, and who changes the appenders of the removed node.
  EXPECT_EQ(list->decisions_size(), 3);
  ASSERT_EQ(list->removed_nodes_size(), 1);
  EXPECT_EQ(list->removed_nodes(0).identity().name(), "n2");
  // And keeps it, with nobody to ask.
  two.reset();
  one.reset();
  one = Start(one_dir, {}, one_address);
  Watcher kept(one_address);
  ASSERT_TRUE(kept.UntilRole(1, v1::NODE_ROLE_STANDBY));
}

TEST_F(ExchangeTest, DecisionsTakenApartMeetWhenTheyCan) {
  auto one = Start(NewDirectory(), {});
  const std::string one_address = AddressOf(one);
  const std::string two_dir = NewDirectory();
  auto two = Start(two_dir, {one_address});
  const std::string two_address = AddressOf(two);
  FakeNode node(one_address);
  node.Attach(1);
  {
    Watcher watcher(two_address);
    ASSERT_TRUE(watcher.UntilState(1, v1::NODE_STATE_ACTIVE));
  }
  two.reset();
  ASSERT_THAT(Operator(one_address).SetRole(1, v1::NODE_ROLE_DRAINING), IsOk());
  // Alone, with a clock that is a day behind.
  clock_.JumpTo(clock_.Now() - absl::Hours(24));
  two = Start(two_dir, {"127.0.0.1:1"});
  v1::SetNodeRequest weight;
  weight.set_node_uuid(UuidOf(1));
  weight.set_weight(7);
  ASSERT_THAT(Operator(AddressOf(two)).SetNode(weight), IsOk());
  two.reset();

  two = Start(two_dir, {one_address});
  for (const std::string& address : {one_address, AddressOf(two)}) {
    Watcher watcher(address);
    EXPECT_TRUE(watcher.UntilNode(1, [](const v1::Node& seen) {
      return seen.effective().role() == v1::NODE_ROLE_DRAINING &&
             seen.effective().weight() == 7;
    }));
  }
  // It has seen the draining now, and overrules it.
  v1::SetNodeRequest back;
  back.set_node_uuid(UuidOf(1));
  back.set_clear_role(true);
  ASSERT_THAT(Operator(AddressOf(two)).SetNode(back), IsOk());
  Watcher watcher(one_address);
  EXPECT_TRUE(watcher.UntilRole(1, v1::NODE_ROLE_READ_WRITE));
}

TEST_F(ExchangeTest, ATrackerThatMeetsItselfGoesOn) {
  const std::string dir = NewDirectory();
  auto one = Start(dir, {});
  const std::string address = AddressOf(one);
  one.reset();
  auto config = Config(dir);
  config.set_listen(0, address);
  config.set_advertise("tracker.example:7700");
  config.add_trackers(address);  // By another name.
  config.mutable_exchange_interval()->set_nanos(20000000);
  auto server = TrackerServer::Start(config, FileSystem::Real(), &clock_);
  ASSERT_THAT(server, IsOk());
  AwaitCounter(**server, "cairn_tracker_exchanges_total{code=\"OK\"}");
  EXPECT_THAT((*server)->metrics().Text(),
              HasSubstr("cairn_tracker_peers_reached 0\n"));
}

// Both have certificates, and ask each other for them. These are valid now, by
// the real clock.
TEST_F(ExchangeTest, TrackersThatSpeakTlsExchangeAndLetNoStrangerIn) {
  CertificateAuthority authority("authority");
  CertificateAuthority other_authority("another authority");
  const auto config_of = [](CertificateAuthority* issuer,
                            const std::string& ca_pem) {
    const std::string dir = NewDirectory();
    const IssuedCertificate issued = issuer->Issue({.name = "tracker"});
    WritePrivateFile(dir + "/tracker.pem", issued.certificate_pem);
    WritePrivateFile(dir + "/tracker.key", issued.key_pem);
    WritePrivateFile(dir + "/ca.pem", ca_pem);
    auto config = Config(dir + "/data");
    auto* const tls = config.mutable_tls();
    tls->set_certificate_file(dir + "/tracker.pem");
    tls->set_key_file(dir + "/tracker.key");
    tls->set_ca_file(dir + "/ca.pem");
    tls->set_require_client_certificate(true);
    config.mutable_exchange_interval()->set_nanos(20000000);
    return config;
  };
  auto one =
      TrackerServer::Start(config_of(&authority, authority.certificate_pem()),
                           FileSystem::Real(), Clock::Real());
  ASSERT_THAT(one, IsOk());
  auto config = config_of(&authority, authority.certificate_pem());
  config.add_trackers(AddressOf(*one));
  auto two = TrackerServer::Start(config, FileSystem::Real(), Clock::Real());
  ASSERT_THAT(two, IsOk());
  AwaitCounter(**two, "cairn_tracker_exchanges_total{code=\"OK\"}");
  EXPECT_THAT((*two)->metrics().Text(),
              HasSubstr("cairn_tracker_peers_reached 1\n"));

  // One with the secret and a certificate of somebody else, and one with the
  // secret and plain text: neither comes to the proof.
  config = config_of(&other_authority, authority.certificate_pem());
  config.add_trackers(AddressOf(*one));
  auto three = TrackerServer::Start(config, FileSystem::Real(), Clock::Real());
  ASSERT_THAT(three, IsOk());
  AwaitCounter(**three, "cairn_tracker_exchanges_total{code=\"UNAVAILABLE\"}");
  auto four = Start(NewDirectory(), {AddressOf(*one)});
  AwaitCounter(*four, "cairn_tracker_exchanges_total{code=\"UNAVAILABLE\"}");
  for (const TrackerServer* stranger : {three->get(), four.get()}) {
    EXPECT_THAT(stranger->metrics().Text(),
                HasSubstr("cairn_tracker_exchanges_total{code=\"OK\"} 0\n"));
  }
}

TEST_F(ExchangeTest, ATrackerWithAnotherSecretIsRefused) {
  auto one = Start(NewDirectory(), {});
  auto config = Config(NewDirectory());
  config.set_cluster_secret("quite another secret");
  config.add_trackers(AddressOf(one));
  auto two = TrackerServer::Start(config, FileSystem::Real(), &clock_);
  ASSERT_THAT(two, IsOk());
  AwaitCounter(**two,
               "cairn_tracker_exchanges_total{code=\"UNAUTHENTICATED\"}");
  AwaitCounter(
      *one, "cairn_tracker_exchange_refused_total{code=\"UNAUTHENTICATED\"}");
}

// ---- Strangers.

// A tracker's calling side, one step at a time.
class Caller {
 public:
  explicit Caller(const std::string& tracker)
      : stub_(v1::MembershipService::NewStub(rpc::MakeChannel(tracker))) {
    rpc::SetTimeout(&context_, kNever);
    stream_ = stub_->Exchange(&context_);
  }
  ~Caller() {
    context_.TryCancel();
    if (!ended_) (void)End();
  }

  v1::ExchangeResponse Read() {
    v1::ExchangeResponse response;
    if (!stream_->Read(&response)) response.Clear();
    return response;
  }

  v1::ExchangeRequest Hello(const std::string& challenge,
                            const std::string& secret = kSecret,
                            const std::string& cluster = kCluster) {
    v1::ExchangeRequest request;
    v1::ExchangeHello* const hello = request.mutable_hello();
    hello->set_cluster_id(cluster);
    hello->mutable_summary()->set_tracker_instance(kStranger);
    hello->mutable_summary()->set_address("127.0.0.1:9");
    hello->set_nonce(nonce_);
    hello->set_proof(rpc::ExchangeCallerProof(secret, challenge, nonce_,
                                              cluster, kStranger));
    return request;
  }

  void Write(const v1::ExchangeRequest& request) { stream_->Write(request); }
  void HangUp() { stream_->WritesDone(); }

  absl::Status End() {
    ended_ = true;
    v1::ExchangeResponse response;
    while (stream_->Read(&response)) {
    }
    return rpc::FromGrpcStatus(stream_->Finish());
  }

  const std::string nonce_ = rpc::MakeNonce();

 private:
  std::unique_ptr<v1::MembershipService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<v1::ExchangeRequest, v1::ExchangeResponse>>
      stream_;
  bool ended_ = false;
};

v1::ExchangeRequest ADecision() {
  v1::ExchangeRequest request;
  v1::Decision* const decision = request.mutable_page()->add_decisions();
  decision->set_field(v1::DECISION_FIELD_GROUP_WEIGHT);
  decision->set_subject("group1");
  decision->set_value(0);
  decision->mutable_time()->set_unix_ms(1767225600000);
  decision->mutable_time()->set_tracker_instance(kStranger);
  return request;
}

TEST_F(ExchangeTest, ARoundGoesByTheBook) {
  auto server = Start(NewDirectory(), {});
  FakeNode node(AddressOf(server));
  node.Attach(1);
  Caller caller(AddressOf(server));
  const std::string challenge = caller.Read().challenge().nonce();
  ASSERT_EQ(challenge.size(), rpc::kNonceBytes);
  caller.Write(caller.Hello(challenge));
  const v1::ExchangeResponse welcome = caller.Read();
  const v1::ExchangeSummary& summary = welcome.welcome().summary();
  EXPECT_TRUE(rpc::SameProof(
      welcome.welcome().proof(),
      rpc::ExchangeAnswererProof(kSecret, challenge, caller.nonce_,
                                 summary.tracker_instance())));
  EXPECT_EQ(summary.address(), AddressOf(server));
  EXPECT_EQ(summary.heard_nodes_size(), 1);
  const v1::ExchangeResponse page = caller.Read();
  ASSERT_EQ(page.page().nodes_size(), 1);
  EXPECT_EQ(page.page().nodes(0).identity().node_uuid(), UuidOf(1));
  EXPECT_TRUE(page.page().nodes(0).first_hand());
  caller.Write(ADecision());
  caller.HangUp();
  EXPECT_THAT(caller.End(), IsOk());
  const auto list = Operator(AddressOf(server)).List();
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->decisions_size(), 1);
}

TEST_F(ExchangeTest, AStrangerTellsAndLearnsNothing) {
  auto server = Start(NewDirectory(), {});
  FakeNode node(AddressOf(server));
  node.Attach(1);
  {
    Caller caller(AddressOf(server));
    caller.Write(caller.Hello(caller.Read().challenge().nonce(), "no secret"));
    EXPECT_FALSE(caller.Read().has_welcome());
    EXPECT_EQ(ReasonOf(caller.End()), ErrorReason::kNotAMember);
  }
  {
    // Without a hello.
    Caller caller(AddressOf(server));
    ASSERT_TRUE(caller.Read().has_challenge());
    caller.Write(ADecision());
    EXPECT_THAT(caller.End(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  {
    Caller caller(AddressOf(server));
    ASSERT_TRUE(caller.Read().has_challenge());
    caller.HangUp();
    EXPECT_EQ(ReasonOf(caller.End()), ErrorReason::kNotAMember);
  }
  {
    // A node's proof is not a tracker's.
    Caller caller(AddressOf(server));
    const std::string challenge = caller.Read().challenge().nonce();
    v1::ExchangeRequest hello = caller.Hello(challenge);
    hello.mutable_hello()->set_proof(
        rpc::NodeProof(kSecret, challenge, caller.nonce_, kCluster, kStranger));
    caller.Write(hello);
    EXPECT_EQ(ReasonOf(caller.End()), ErrorReason::kNotAMember);
  }
  const auto list = Operator(AddressOf(server)).List();
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->decisions_size(), 0);
}

TEST_F(ExchangeTest, AHelloThatWasOverheardIsOfNoUse) {
  auto server = Start(NewDirectory(), {});
  Caller victim(AddressOf(server));
  const v1::ExchangeRequest overheard =
      victim.Hello(victim.Read().challenge().nonce());
  victim.Write(overheard);
  ASSERT_TRUE(victim.Read().has_welcome());

  Caller thief(AddressOf(server));
  ASSERT_TRUE(thief.Read().has_challenge());
  thief.Write(overheard);
  EXPECT_EQ(ReasonOf(thief.End()), ErrorReason::kNotAMember);
}

TEST_F(ExchangeTest, WhatIsMalformedOrOfAnotherClusterEndsTheRound) {
  auto server = Start(NewDirectory(), {});
  {
    Caller caller(AddressOf(server));
    caller.Write(caller.Hello(caller.Read().challenge().nonce(), kSecret,
                              "99999999-2222-4333-8444-555555555555"));
    EXPECT_EQ(ReasonOf(caller.End()), ErrorReason::kWrongCluster);
  }
  {
    Caller caller(AddressOf(server));
    v1::ExchangeRequest hello = caller.Hello(caller.Read().challenge().nonce());
    hello.mutable_hello()->mutable_summary()->add_heard_nodes("short");
    caller.Write(hello);
    EXPECT_THAT(caller.End(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  {
    Caller caller(AddressOf(server));
    v1::ExchangeRequest hello = caller.Hello(caller.Read().challenge().nonce());
    hello.mutable_hello()->mutable_summary()->set_address("a b");
    caller.Write(hello);
    EXPECT_THAT(caller.End(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  // What is wrong in a page is passed over, and the rest is taken.
  Caller caller(AddressOf(server));
  caller.Write(caller.Hello(caller.Read().challenge().nonce()));
  v1::ExchangeRequest page = ADecision();
  v1::Decision* const odd = page.mutable_page()->add_decisions();
  odd->set_field(static_cast<v1::DecisionField>(99));
  odd->set_subject("what");
  page.mutable_page()->add_nodes()->set_first_hand(true);
  caller.Write(page);
  caller.HangUp();
  EXPECT_THAT(caller.End(), IsOk());
  const auto list = Operator(AddressOf(server)).List();
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->decisions_size(), 1);
}

TEST_F(ExchangeTest, ACallerThatSaysNothingIsSentAway) {
  auto server = Start(NewDirectory(), {});
  Caller caller(AddressOf(server));
  ASSERT_TRUE(caller.Read().has_challenge());
  clock_.Advance(absl::Seconds(10));
  EXPECT_THAT(caller.End(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace tracker
}  // namespace cairn
