// A cluster whose processes speak TLS with each other and ask everybody for a
// certificate, used by the real command. Certificates are made here.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cairn_run.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/base/check.h"
#include "lib/testing/certificates.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = MakeTempFolder("tls");
    WritePrivateFile(Path("ca.pem"), ca_.certificate_pem());
    WritePrivateFile(Path("new-ca.pem"), new_ca_.certificate_pem());
    Write("node", ca_.Issue({.name = "node"}));
    Write("user", ca_.Issue({.name = "user"}));
    Write("stranger", new_ca_.Issue({.name = "stranger"}));
    ClusterOptions options;
    options.storages = options.members = 2;
    options.tracker_config = options.storage_config = absl::StrCat(
        "tls {\n  certificate_file: \"", Path("node.pem"), "\"\n  key_file: \"",
        Path("node.key"), "\"\n  ca_file: \"", Path("ca.pem"),
        "\"\n  require_client_certificate: true\n"
        "  reload_interval { seconds: 1 }\n}\n");
    auto cluster = MiniCluster::Start(options);
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
  }

  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }
  void Write(const std::string& name, const IssuedCertificate& issued) {
    WritePrivateFile(Path(name + ".key"), issued.key_pem);
    WritePrivateFile(Path(name + ".pem"), issued.certificate_pem);
  }

  std::vector<std::string> Tls(const std::string& ca,
                               const std::string& who) const {
    std::vector<std::string> flags = {"--tls-ca", Path(ca + ".pem")};
    if (!who.empty()) {
      flags.insert(flags.end(), {"--tls-cert", Path(who + ".pem"), "--tls-key",
                                 Path(who + ".key")});
    }
    return flags;
  }

  // Runs `cairn` to its end, with the tracker or one storage.
  Finished Cairn(std::vector<std::string> arguments,
                 const std::vector<std::string>& tls, int storage = -1) {
    arguments.push_back("--no-progress");
    arguments.push_back(storage < 0 ? "--tracker" : "--storage");
    arguments.push_back(storage < 0 ? cluster_->tracker()->address()
                                    : cluster_->storage(storage)->address());
    arguments.insert(arguments.end(), tls.begin(), tls.end());
    return RunCairn(std::move(arguments),
                    Path(absl::StrCat("cairn", ++runs_, ".log")));
  }

  // Whether `cairn status` finds nothing wrong, or only that this machine's
  // disk is nearly full.
  static bool IsHealthy(const Finished& run) {
    if (run.end == "exit 0") return true;
    if (!absl::StrContains(run.log, "DEGRADED:")) return false;
    const std::vector<std::string> lines = absl::StrSplit(run.log, '\n');
    return std::all_of(lines.begin(), lines.end(), [](const std::string& line) {
      return !absl::StrContains(line, "  degraded: ") ||
             absl::StrContains(line, " left of ");
    });
  }

  // Until it is so: the storage attaches after it says that it serves.
  void AwaitHealthy(const std::vector<std::string>& tls) {
    const absl::Time limit = absl::Now() + kProcessDeadline;
    Finished run = Cairn({"status"}, tls);
    while (!IsHealthy(run) && absl::Now() < limit) {
      absl::SleepFor(absl::Milliseconds(100));
      run = Cairn({"status"}, tls);
    }
    EXPECT_TRUE(IsHealthy(run)) << run.end << "\n" << run.log;
  }

  std::string folder_;
  CertificateAuthority ca_{"authority"};
  CertificateAuthority new_ca_{"new authority"};
  std::unique_ptr<MiniCluster> cluster_;
  int runs_ = 0;
};

TEST_F(TlsTest, StoresAndReadsFilesOverMutualTls) {
  const std::vector<std::string> tls = Tls("ca", "user");
  AwaitHealthy(tls);
  // One that travels with others, and one on a stream of its own.
  for (const size_t size : {1000, 5000000}) {
    const std::string content(size, 'x');
    WritePrivateFile(Path("file"), content);
    const Finished put = Cairn({"put", Path("file")}, tls);
    ASSERT_EQ(put.end, "exit 0") << put.log;
    const std::string id =
        std::vector<std::string>(absl::StrSplit(put.log, '\n'))[0];
    ASSERT_TRUE(absl::StartsWith(id, "group1/M00/")) << put.log;
    const Finished get = Cairn({"get", id, "-o", Path("copy")}, tls);
    ASSERT_EQ(get.end, "exit 0") << get.log;
    const Finished verify = Cairn({"verify", id}, tls);
    EXPECT_EQ(verify.end, "exit 0") << verify.log;
  }
  for (const char* command : {"nodes", "groups"}) {
    const Finished run = Cairn({command}, tls);
    EXPECT_EQ(run.end, "exit 0") << run.log;
    EXPECT_THAT(run.log, HasSubstr("group1"));
  }
}

TEST_F(TlsTest, MembersOfAGroupCopyEachOtherOverMutualTls) {
  const std::vector<std::string> tls = Tls("ca", "user");
  AwaitHealthy(tls);
  WritePrivateFile(Path("file"), "what both have");
  const Finished put = Cairn({"put", Path("file")}, tls, 0);
  ASSERT_EQ(put.end, "exit 0") << put.log;
  const std::string id =
      std::vector<std::string>(absl::StrSplit(put.log, '\n'))[0];
  const absl::Time limit = absl::Now() + kProcessDeadline;
  Finished get = Cairn({"get", id, "-o", Path("copy")}, tls, 1);
  while (get.end != "exit 0" && absl::Now() < limit) {
    absl::SleepFor(absl::Milliseconds(100));
    get = Cairn({"get", id, "-o", Path("copy")}, tls, 1);
  }
  EXPECT_EQ(get.end, "exit 0") << get.log;
}

TEST_F(TlsTest, WhoIsRefusedIsToldWhatToDo) {
  const Finished plain = Cairn({"groups"}, {});
  EXPECT_EQ(plain.end, "exit 4") << plain.log;
  EXPECT_THAT(plain.log, HasSubstr("if it has TLS"));
  const Finished plain_status = Cairn({"status"}, {});
  EXPECT_EQ(plain_status.end, "exit 4") << plain_status.log;
  EXPECT_THAT(plain_status.log, HasSubstr("if it has TLS"));
  const Finished plain_put = Cairn({"put", Path("ca.pem")}, {});
  EXPECT_EQ(plain_put.end, "exit 4") << plain_put.log;
  EXPECT_THAT(plain_put.log, HasSubstr("if it has TLS"));

  for (const char* who : {"", "stranger"}) {
    const Finished run = Cairn({"groups"}, Tls("ca", who));
    EXPECT_EQ(run.end, "exit 4") << run.log;
    EXPECT_THAT(run.log, HasSubstr("require_client_certificate"));
  }
  const Finished wrong_ca = Cairn({"groups"}, Tls("new-ca", "user"));
  EXPECT_EQ(wrong_ca.end, "exit 4") << wrong_ca.log;
  EXPECT_THAT(wrong_ca.log, HasSubstr("from no authority in ca_file"));
  const Finished no_key = Cairn({"groups"}, Tls("ca", "nobody"));
  EXPECT_EQ(no_key.end, "exit 3") << no_key.log;
  EXPECT_THAT(no_key.log, HasSubstr("tls.certificate_file"));
}

TEST_F(TlsTest, AllProcessesMoveToAnotherAuthorityWithoutARestart) {
  AwaitHealthy(Tls("ca", "user"));
  WritePrivateFile(Path("ca.pem"),
                   ca_.certificate_pem() + new_ca_.certificate_pem());
  Write("node", new_ca_.Issue({.name = "node"}));
  Write("user", new_ca_.Issue({.name = "user"}));
  AwaitHealthy(Tls("new-ca", "user"));
  // The storage finds its way back too.
  ASSERT_THAT(cluster_->tracker()->KillAndRestart(), IsOk());
  AwaitHealthy(Tls("new-ca", "user"));
}

TEST(PlainTextTest, IsRefusedBeyondLoopbackUnlessItIsMeant) {
  auto cluster = MiniCluster::Start({});
  ASSERT_THAT(cluster, IsOk());
  for (Daemon* daemon : {(*cluster)->tracker(), (*cluster)->storage()}) {
    // Looks at its configuration and listens nowhere.
    const auto check = [daemon](const std::vector<std::string>& more) {
      std::vector<std::string> arguments = {
          absl::StrCat("--config=", daemon->config_file()), "--check_config",
          "--set=listen=0.0.0.0:7700", "--set=advertise=node:7700"};
      arguments.insert(arguments.end(), more.begin(), more.end());
      auto process =
          Process::Start({daemon->program(), arguments,
                          absl::StrCat(MakeTempFolder("check"), "/log")});
      CAIRN_CHECK_OK(process.status());
      auto ended = (*process)->Wait();
      CAIRN_CHECK_OK(ended.status());
      return Finished{ended->ToString(), (*process)->Log()};
    };
    const Finished refused = check({});
    EXPECT_NE(refused.end, "exit 0");
    EXPECT_THAT(
        refused.log,
        AllOf(HasSubstr("listen: `0.0.0.0:7700` is not on loopback"),
              HasSubstr("set tls {"), HasSubstr("allow_plaintext: true")));
    const Finished meant = check({"--set=allow_plaintext=true"});
    EXPECT_EQ(meant.end, "exit 0") << meant.log;
  }
}

}  // namespace
}  // namespace testing
}  // namespace cairn
