// A server with TLS on loopback, and clients of all kinds. Certificates are
// made here.

#include "lib/rpc/tls.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <sys/stat.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/node_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/server.h"
#include "lib/testing/certificates.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace rpc {
namespace {

using ::testing::HasSubstr;
using NodeService = storage::v1::NodeService;

class FakeNodeService : public NodeService::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetState(
      grpc::CallbackServerContext* context,
      const storage::v1::GetStateRequest* request,
      storage::v1::GetStateResponse* response) override {
    response->set_name("n1");
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(
        ::testing::TempDir(), "/tls_test.",
        ::testing::UnitTest::GetInstance()->current_test_info()->name());
    ASSERT_EQ(mkdir(folder_.c_str(), 0700), 0);
    WritePrivateFile(Path("ca.pem"), ca_.certificate_pem());
    WritePrivateFile(Path("other-ca.pem"), other_ca_.certificate_pem());
    Write("server", ca_.Issue({.name = "server"}));
    Write("client", ca_.Issue({.name = "client"}));
  }

  void TearDown() override {
    if (server_ != nullptr) server_->Stop(absl::ZeroDuration());
  }

  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }
  void Write(const std::string& name, const IssuedCertificate& issued) {
    WritePrivateFile(Path(name + ".key"), issued.key_pem);
    WritePrivateFile(Path(name + ".pem"), issued.certificate_pem);
  }

  TlsOptions OptionsOf(const std::string& name) const {
    TlsOptions options;
    if (!name.empty()) {
      options.certificate_file = Path(name + ".pem");
      options.key_file = Path(name + ".key");
    }
    options.ca_file = Path("ca.pem");
    options.reload_interval = absl::Seconds(1);
    return options;
  }

  void Serve(bool require_client_certificate) {
    RpcServerOptions options;
    options.listen = {"127.0.0.1:0"};
    TlsOptions tls = OptionsOf("server");
    tls.require_client_certificate = require_client_certificate;
    Serve(tls);
  }
  void Serve(const TlsOptions& tls) {
    RpcServerOptions options;
    options.listen = {"127.0.0.1:0"};
    auto opened = Tls::Open(tls);
    ASSERT_THAT(opened, IsOk());
    options.tls = *std::move(opened);
    ServeWith(options);
  }
  void ServeWith(const RpcServerOptions& options) {
    auto started = RpcServer::Start(
        options, {{NodeService::service_full_name(), &service_}});
    ASSERT_THAT(started, IsOk());
    server_ = *std::move(started);
  }

  // A call on a connection of its own.
  absl::Status Call(const TlsOptions& tls) {
    auto opened = Tls::Open(tls);
    if (!opened.ok()) return opened.status();
    ChannelOptions options;
    options.own_connection = true;
    options.tls = *std::move(opened);
    return CallOn(options);
  }
  absl::Status CallOn(const ChannelOptions& options) {
    return CallOn(MakeChannel(server_->addresses()[0], options),
                  options.tls != nullptr);
  }
  static absl::Status CallOn(const std::shared_ptr<grpc::Channel>& channel,
                             bool tls) {
    grpc::ClientContext context;
    SetTimeout(&context, absl::Seconds(60));
    storage::v1::GetStateResponse response;
    return ExplainTlsFailure(
        FromGrpcStatus(NodeService::NewStub(channel)->GetState(
            &context, storage::v1::GetStateRequest(), &response)),
        tls);
  }

  // Until a call ends as `matcher` wants, or for half a minute.
  template <typename Matcher>
  void Await(const TlsOptions& tls, Matcher matcher) {
    const absl::Time limit = absl::Now() + absl::Seconds(30);
    absl::Status status = Call(tls);
    while (!::testing::Matches(matcher)(status) && absl::Now() < limit) {
      absl::SleepFor(absl::Milliseconds(100));
      status = Call(tls);
    }
    EXPECT_THAT(status, matcher);
  }

  std::string folder_;
  CertificateAuthority ca_{"authority"};
  CertificateAuthority other_ca_{"other authority"};
  FakeNodeService service_;
  std::unique_ptr<RpcServer> server_;
};

TEST_F(TlsTest, BothSidesShowACertificate) {
  Serve(/*require_client_certificate=*/true);
  EXPECT_THAT(Call(OptionsOf("client")), IsOk());
}

TEST_F(TlsTest, AClientWithoutACertificateIsServedWhereNoneIsAsked) {
  Serve(/*require_client_certificate=*/false);
  EXPECT_THAT(Call(OptionsOf("")), IsOk());
  EXPECT_THAT(Call(OptionsOf("client")), IsOk());
}

TEST_F(TlsTest, AClientWithoutACertificateIsRefusedWhereOneIsAsked) {
  Serve(/*require_client_certificate=*/true);
  EXPECT_THAT(Call(OptionsOf("")),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("require_client_certificate")));
}

TEST_F(TlsTest, ACertificateOfAnotherAuthorityIsRefusedOnEitherSide) {
  Serve(/*require_client_certificate=*/true);
  Write("stranger", other_ca_.Issue());
  EXPECT_THAT(Call(OptionsOf("stranger")),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("require_client_certificate")));
  TlsOptions trusts_others = OptionsOf("client");
  trusts_others.ca_file = Path("other-ca.pem");
  EXPECT_THAT(Call(trusts_others),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("ca_file")));
}

TEST_F(TlsTest, TheCertificateMustCarryTheNameThatIsCalled) {
  Write("server", ca_.Issue({.name = "server",
                             .alternative_names = {"DNS:cairn.example"}}));
  Serve(/*require_client_certificate=*/false);
  EXPECT_THAT(Call(OptionsOf("")), StatusIs(absl::StatusCode::kUnavailable,
                                            HasSubstr("server_name")));
  TlsOptions named = OptionsOf("");
  named.server_name = "cairn.example";
  EXPECT_THAT(Call(named), IsOk());
}

TEST_F(TlsTest, APlainClientIsToldThatTheServerMayWantTls) {
  Serve(/*require_client_certificate=*/false);
  ChannelOptions plain;
  plain.own_connection = true;
  EXPECT_THAT(CallOn(plain),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("TLS")));
}

TEST_F(TlsTest, AClientIsToldThatTheServerHasNoTls) {
  RpcServerOptions options;
  options.listen = {"127.0.0.1:0"};
  ServeWith(options);
  EXPECT_THAT(Call(OptionsOf("client")),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("does not speak TLS")));
}

TEST_F(TlsTest, TheServerTakesUpNewFilesWithoutARestart) {
  Serve(/*require_client_certificate=*/true);
  ASSERT_THAT(Call(OptionsOf("client")), IsOk());
  // All of a site moves to another authority, one side after the other.
  WritePrivateFile(Path("ca.pem"),
                   ca_.certificate_pem() + other_ca_.certificate_pem());
  Write("server", other_ca_.Issue({.name = "server"}));
  TlsOptions only_new = OptionsOf("client");
  only_new.ca_file = Path("other-ca.pem");
  Await(only_new, IsOk());
  Write("stranger", other_ca_.Issue());
  Await(OptionsOf("stranger"), IsOk());
  EXPECT_THAT(Call(OptionsOf("client")), IsOk());
}

TEST_F(TlsTest, AChannelTakesUpNewFilesForItsNextConnection) {
  TlsOptions server = OptionsOf("server");
  server.require_client_certificate = true;
  server.ca_file = Path("ca.pem");
  Serve(server);
  // Its own authorities do not include the server's, at first.
  TlsOptions client = OptionsOf("client");
  client.ca_file = Path("client-ca.pem");
  WritePrivateFile(client.ca_file, other_ca_.certificate_pem());
  ChannelOptions options;
  options.own_connection = true;
  auto tls = Tls::Open(client);
  ASSERT_THAT(tls, IsOk());
  options.tls = *std::move(tls);
  const auto channel = MakeChannel(server_->addresses()[0], options);
  ASSERT_THAT(CallOn(channel, true), StatusIs(absl::StatusCode::kUnavailable));
  WritePrivateFile(client.ca_file, ca_.certificate_pem());
  const absl::Time limit = absl::Now() + absl::Seconds(60);
  absl::Status status = CallOn(channel, true);
  while (!status.ok() && absl::Now() < limit) {
    absl::SleepFor(absl::Milliseconds(100));
    status = CallOn(channel, true);
  }
  EXPECT_THAT(status, IsOk());
}

TEST_F(TlsTest, FilesThatCannotBeUsedAreCountedAndAMissingOneHurtsNobody) {
  TlsOptions options = OptionsOf("server");
  options.reload_interval = absl::Seconds(1);
  auto tls = Tls::Open(options);
  ASSERT_THAT(tls, IsOk());
  (*tls)->Watch();
  RpcServerOptions serve;
  serve.listen = {"127.0.0.1:0"};
  serve.tls = *tls;
  ServeWith(serve);
  ASSERT_EQ(unlink(options.key_file.c_str()), 0);
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while ((*tls)->failed_looks() < 2 && absl::Now() < limit) {
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_GE((*tls)->failed_looks(), 2u);
  EXPECT_THAT(Call(OptionsOf("client")), IsOk());
}

TEST_F(TlsTest, TheTimeLeftIsAMetric) {
  CertificateRequest request;
  request.not_after = absl::Now() + absl::Hours(48);
  Write("server", ca_.Issue(request));
  auto tls = Tls::Open(OptionsOf("server"));
  ASSERT_THAT(tls, IsOk());
  MetricsRegistry with;
  AddTlsMetrics(tls->get(), &with);
  EXPECT_NEAR(with.Read("cairn_tls_certificate_expiry_seconds"), 48 * 3600,
              600);
  EXPECT_EQ(with.Read("cairn_tls_file_failures_total"), 0);
  MetricsRegistry without;
  AddTlsMetrics(nullptr, &without);
  EXPECT_TRUE(std::isnan(without.Read("cairn_tls_certificate_expiry_seconds")));
}

TEST_F(TlsTest, OpenSaysWhatIsWrong) {
  TlsOptions options = OptionsOf("server");
  options.key_file = Path("client.key");
  const auto tls = Tls::Open(options);
  EXPECT_THAT(tls, StatusIs(absl::StatusCode::kInvalidArgument,
                            HasSubstr("tls.key_file: ")));
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
