// Quotas with real processes: an operator decides them with the command,
// clients that show certificates run into them, and members know them again
// after a kill.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cairn_run.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/testing/certificates.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::HasSubstr;

class QuotaTest : public ::testing::Test {
 protected:
  void SetUp() override { folder_ = MakeTempFolder("quota"); }

  void Start(ClusterOptions options) {
    auto cluster = MiniCluster::Start(options);
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
  }

  // With certificates for everybody, and for these clients.
  void StartWithTls(const std::vector<std::string>& clients) {
    WritePrivateFile(Path("ca.pem"), ca_.certificate_pem());
    Certify("node");
    for (const std::string& client : clients) Certify(client);
    ClusterOptions options;
    options.storages = options.members = 2;
    options.tracker_config = options.storage_config = absl::StrCat(
        "tls {\n  certificate_file: \"", Path("node.pem"), "\"\n  key_file: \"",
        Path("node.key"), "\"\n  ca_file: \"", Path("ca.pem"),
        "\"\n  require_client_certificate: true\n}\n");
    tls_ = true;
    Start(options);
  }

  void Certify(const std::string& name) {
    const IssuedCertificate issued = ca_.Issue({.name = name});
    WritePrivateFile(Path(name + ".key"), issued.key_pem);
    WritePrivateFile(Path(name + ".pem"), issued.certificate_pem);
  }

  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }

  // Runs `cairn` to its end as that client, with the tracker or one storage.
  Finished Cairn(const std::string& who, std::vector<std::string> arguments,
                 int storage = -1) {
    arguments.insert(arguments.end(),
                     {"--no-progress", storage < 0 ? "--tracker" : "--storage",
                      storage < 0 ? cluster_->tracker()->address()
                                  : cluster_->storage(storage)->address()});
    if (tls_) {
      const std::vector<std::string> tls = TlsFlags(who);
      arguments.insert(arguments.end(), tls.begin(), tls.end());
    }
    return RunCairn(std::move(arguments),
                    Path(absl::StrCat("cairn", ++runs_, ".log")));
  }

  void Decide(const std::string& who, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(),
                     {"--secret-file", cluster_->secret_file()});
    const Finished run = Cairn(who, arguments);
    EXPECT_EQ(run.end, "exit 0") << run.log;
  }

  std::vector<std::string> TlsFlags(const std::string& who) const {
    return {"--tls-ca",         Path("ca.pem"), "--tls-cert",
            Path(who + ".pem"), "--tls-key",    Path(who + ".key")};
  }

  // Until the command's output has `text`.
  void Await(const std::string& who, const std::vector<std::string>& arguments,
             absl::string_view text, int storage = -1) {
    const absl::Time limit = absl::Now() + kProcessDeadline;
    Finished run = Cairn(who, arguments, storage);
    while (!absl::StrContains(run.log, text) && absl::Now() < limit) {
      absl::SleepFor(absl::Milliseconds(100));
      run = Cairn(who, arguments, storage);
    }
    EXPECT_THAT(run.log, HasSubstr(std::string(text)));
  }

  // The ID of a file of that size.
  std::string Put(const std::string& who, size_t size) {
    WritePrivateFile(Path("file"), std::string(size, 'x'));
    const Finished put = Cairn(who, {"put", Path("file")});
    EXPECT_EQ(put.end, "exit 0") << put.log;
    return std::vector<std::string>(absl::StrSplit(put.log, '\n'))[0];
  }

  void ExpectRefused(const Finished& run, const std::string& whose) {
    EXPECT_EQ(run.end, "exit 4") << run.log;
    EXPECT_THAT(run.log, HasSubstr("QUOTA_EXCEEDED"));
    EXPECT_THAT(run.log, HasSubstr(whose));
  }
  void ExpectRefused(const std::string& who, size_t size,
                     const std::string& whose) {
    WritePrivateFile(Path("file"), std::string(size, 'x'));
    ExpectRefused(Cairn(who, {"put", Path("file")}), whose);
  }

  void Remove(const std::string& who, const std::string& id) {
    const Finished run = Cairn(who, {"rm", id});
    EXPECT_EQ(run.end, "exit 0") << run.log;
  }

  std::string folder_;
  CertificateAuthority ca_{"authority"};
  bool tls_ = false;
  std::unique_ptr<MiniCluster> cluster_;
  int runs_ = 0;
};

TEST_F(QuotaTest, AClientIsKnownByItsCertificateAndStopsAtItsQuota) {
  StartWithTls({"operator", "alice", "bob"});
  Await("operator", {"nodes", "--json"}, "storage1");
  Decide("operator", {"client", "quota", "alice", "--files", "2"});
  for (int storage = 0; storage < 2; ++storage) {
    Await("operator", {"client", "list"}, "0 of 2", storage);
  }
  const std::string first = Put("alice", 1000);
  Put("alice", 5000000);
  ExpectRefused("alice", 10, "client `alice`");
  ExpectRefused(Cairn("alice", {"cp", first}), "client `alice`");
  // Others are not bound by it.
  const std::string bobs = Put("bob", 1000);
  Await("operator", {"client", "list"}, "2 of 2");

  // A copy of somebody else's file is one's own.
  Remove("alice", first);
  const Finished copy = Cairn("alice", {"cp", bobs});
  EXPECT_EQ(copy.end, "exit 0") << copy.log;
  ExpectRefused("alice", 10, "client `alice`");

  // A member that comes back after a kill has counted the same, and hears of
  // the quota when it attaches.
  for (int storage = 0; storage < 2; ++storage) {
    ASSERT_THAT(cluster_->storage(storage)->KillAndRestart(), IsOk());
    Await("operator", {"client", "list"}, "2 of 2", storage);
  }
  // So it is when the tracker comes back.
  ASSERT_THAT(cluster_->tracker()->KillAndRestart(), IsOk());
  Await("operator", {"nodes", "--json"}, "storage1");
  for (int storage = 0; storage < 2; ++storage) {
    Await("operator", {"client", "list"}, "2 of 2", storage);
  }
  WritePrivateFile(Path("file"), "more");
  Await("alice", {"put", Path("file")}, "QUOTA_EXCEEDED");

  Decide("operator", {"client", "quota", "alice", "--files", "none"});
  for (int storage = 0; storage < 2; ++storage) {
    Await("operator", {"client", "list", "--json"},
          "\"client\":\"alice\",\"group\":\"group1\",\"files\":2,"
          "\"bytes\":5001000,\"quota_files\":null",
          storage);
  }
  Put("alice", 10);
}

TEST_F(QuotaTest, AnUploadThatIsOpenSaysWhoBeganIt) {
  StartWithTls({"operator", "alice"});
  // Each part takes a while, and the end takes long.
  ASSERT_THAT(cluster_->storage(0)->KillAndRestart(
                  {"--enable_fault_points=upload.before_record=delay:2s@1+;"
                   "upload.before_publish_session=delay:60s@1+"}),
              IsOk());
  WritePrivateFile(Path("file"), std::string(5 << 20, 'x'));
  std::vector<std::string> arguments = {
      "put",           Path("file"),
      "--resume",      "--journal",
      Path("journal"), "--no-progress",
      "--storage",     cluster_->storage(0)->address()};
  const std::vector<std::string> tls = TlsFlags("alice");
  arguments.insert(arguments.end(), tls.begin(), tls.end());
  auto put = Process::Start(
      {Runfile("clients/cli/cairn"), arguments, Path("put.log")});
  ASSERT_THAT(put, IsOk());
  const std::string secret = cluster_->secret_file();
  Await("operator", {"uploads", "--json", "--secret-file", secret},
        "\"owner\":\"alice\"", 0);
  Await("operator", {"uploads", "--secret-file", secret}, "alice", 0);
  (*put)->Kill();
}

TEST_F(QuotaTest, AGroupStopsAtItsQuotaAndGoesOnWhenThereIsRoom) {
  Start({});
  Await("", {"nodes", "--json"}, "storage0");
  const std::string large = Put("", 5000000);
  Put("", 1000);
  Decide("", {"group", "quota", "group1", "--bytes", "5MB"});
  Await("", {"groups"}, "of 5.0 MiB", 0);
  // Large ones before their body is sent, small ones when they are committed.
  ExpectRefused("", 3000000, "group group1");
  ExpectRefused("", 300000, "group group1");
  Put("", 100);
  Await("", {"status"}, "holds 4.8 MiB of 5.0 MiB");
  Remove("", large);
  const std::string again = Put("", 3000000);
  // What a deleted file had does not count, until it is brought back.
  ExpectRefused(Cairn("", {"undelete", large}), "group group1");
  Remove("", again);
  const Finished undelete = Cairn("", {"undelete", large});
  EXPECT_EQ(undelete.end, "exit 0") << undelete.log;

  Decide("", {"group", "quota", "group1", "--files", "3"});
  Await("", {"groups"}, "3 of 3", 0);
  ExpectRefused("", 1, "group group1");
  Await("", {"status"}, "it takes no more");
  Decide("",
         {"group", "quota", "group1", "--files", "none", "--bytes", "none"});
  Await("", {"groups", "--json"}, "\"quota_bytes\":null", 0);
  Put("", 3000000);
}

}  // namespace
}  // namespace testing
}  // namespace cairn
