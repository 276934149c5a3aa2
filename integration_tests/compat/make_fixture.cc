// Makes the archive of the version that is checked out. When a format changes,
// and before a release:
//
//   bazel test //integration_tests/compat:make_fixture
//
// then copy fixture.tar.gz from test.outputs to testdata/<version>.tar.gz, with
// a number behind the version if there is one already (0.1.0-2). Archives that
// are there stay as they are for ever.

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "clients/cpp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/compat/fixture.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/io/file_system.h"
#include "lib/testing/certificates.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

namespace fs = std::filesystem;

// In the journal, over a block's end, and in a segment of its own.
const std::vector<int64_t> kSizes = {0, 1, 100, 4096, 20000, 70000, 300000};

// So that little is enough for a segment of its own.
constexpr char kEngine[] =
    "engine { segment_bytes: 1048576 small_file_bytes_max: 160000\n"
    "  undelete_window { seconds: 31536000 } }\n";

// In the year 2100.
constexpr int64_t kExpireSeconds = 4102444800;

void PutAll(StorageStub* stub, Oracle* oracle, uint64_t seed,
            const std::vector<int64_t>& sizes,
            std::vector<std::string>* file_ids) {
  for (const int64_t size : sizes) {
    const Uuid request = oracle->BeginPut(size, ++seed, /*synced=*/true);
    const auto stored = stub->Put(request, ContentOf(seed, size));
    ASSERT_THAT(stored, IsOk());
    oracle->Stored(request, stored->file_id, stored->replicas);
    file_ids->push_back(stored->file_id);
  }
}

void Delete(StorageStub* stub, Oracle* oracle, const std::string& file_id) {
  const Uuid request = oracle->BeginDelete(file_id);
  ASSERT_THAT(stub->Delete(request, file_id), IsOk());
  oracle->Deleted(request);
}

// Stores one of each kind, as FixtureRecord names them.
class RecordMaker {
 public:
  RecordMaker(client::Client* client, std::vector<FixtureRecord>* records)
      : client_(client), records_(records) {}

  void MakeAll(const std::string& folder) {
    MakeAppenders();
    MakeCopy();
    MakeDerived();
    FixtureRecord expiring = New("expiring", 3000);
    client::PutOptions options;
    options.lifetime.expire_time = absl::FromUnixSeconds(kExpireSeconds);
    expiring.unix_seconds = kExpireSeconds;
    Put(expiring, options);
    MakeShared();
    FixtureRecord attributed = New("attributed", 2000);
    options = {};
    options.attributes = {{"color", "red"}, {"gone", "soon"}};
    const std::string id = Put(attributed, options);
    ASSERT_THAT(
        client_->SetAttributes(
            id, {/*overwrite=*/false, FixtureAttributes(), {"gone"}}, {}),
        IsOk());
    MakeDeleted();
    BeginUpload(folder);
  }

 private:
  FixtureRecord New(const std::string& what, int64_t size_bytes) {
    FixtureRecord record;
    record.what = what;
    record.seed = ++seed_;
    record.size_bytes = size_bytes;
    return record;
  }

  void Add(FixtureRecord record, const std::string& id) {
    record.id = id;
    records_->push_back(std::move(record));
  }

  std::string Put(const FixtureRecord& record,
                  const client::PutOptions& options = {}) {
    const auto put = client_->Put(record.Content(), options);
    EXPECT_THAT(put, IsOk());
    if (!put.ok()) return "";
    Add(record, put->info.file_id);
    return put->info.file_id;
  }

  // Of several pieces. Ends as `content`.
  std::string MakeAppender(const std::string& content) {
    const auto created = client_->CreateAppender(content.substr(0, 150000), {});
    EXPECT_THAT(created, IsOk());
    if (!created.ok()) return "";
    const std::string id = created->info.file_id;
    // Other bytes in the middle, and more than is to stay at the end.
    EXPECT_THAT(client_->Append(id, std::string(30000, 'm'), {}), IsOk());
    EXPECT_THAT(client_->Append(id, content.substr(180000), {}), IsOk());
    EXPECT_THAT(client_->Append(id, std::string(5000, 'e'), {}), IsOk());
    EXPECT_THAT(client_->Modify(id, 150000, content.substr(150000, 30000), {}),
                IsOk());
    EXPECT_THAT(client_->Truncate(id, static_cast<int64_t>(content.size()), {}),
                IsOk());
    return id;
  }

  void MakeAppenders() {
    const FixtureRecord appender = New("appender", 200000);
    Add(appender, MakeAppender(appender.Content()));
    const FixtureRecord sealed = New("sealed", 190000);
    const std::string old_id = MakeAppender(sealed.Content());
    const auto sealing = client_->Seal(old_id, {});
    ASSERT_THAT(sealing, IsOk());
    Add(sealed, sealing->info.file_id);
    FixtureRecord sealed_from = sealed;
    sealed_from.what = "sealed_from";
    Add(sealed_from, old_id);
  }

  void MakeCopy() {
    FixtureRecord file = New("copied_from", 170000);
    const std::string id = Put(file);
    const auto copied = client_->Copy(id, {});
    ASSERT_THAT(copied, IsOk());
    EXPECT_TRUE(copied->shared);
    file.what = "copied";
    Add(file, copied->info.file_id);
  }

  void MakeDerived() {
    client::PutOptions options;
    options.extension = "jpg";
    options.derived_from = Put(New("master", 1000), options);
    options.prefix = "_small";
    Put(New("derived", 500), options);
  }

  void MakeShared() {
    client::PutOptions options;
    options.dedup = true;
    FixtureRecord file = New("shared1", 180000);
    Put(file, options);
    file.what = "shared2";
    const auto put = client_->Put(file.Content(), options);
    ASSERT_THAT(put, IsOk());
    EXPECT_TRUE(put->shared);
    Add(file, put->info.file_id);
  }

  void MakeDeleted() {
    const std::string id = Put(New("deleted", 165000));
    const auto deleted = client_->Delete(id, {});
    ASSERT_THAT(deleted, IsOk());
    ASSERT_TRUE(deleted->undelete_until.has_value());
    records_->back().unix_seconds =
        absl::ToUnixSeconds(*deleted->undelete_until);
  }

  void BeginUpload(const std::string& folder) {
    const FixtureRecord upload = New("upload", 400000);
    const std::string source = folder + "/source";
    ASSERT_THAT(ReplaceFile(FileSystem::Real(), source, upload.Content()),
                IsOk());
    std::string upload_id;
    client::ResumableOptions options;
    options.part_bytes = 256 << 10;
    options.begun = [&upload_id](const std::string& id) {
      upload_id = id;
      return absl::OkStatus();
    };
    options.part_sent = [](const client::SentPart& /*part*/) {
      return absl::CancelledError("one part is enough");
    };
    const auto stored = client_->PutFileResumable(source, options);
    EXPECT_EQ(stored.status().code(), absl::StatusCode::kCancelled);
    ASSERT_NE(upload_id, "");
    Add(upload, upload_id);
  }

  client::Client* const client_;
  std::vector<FixtureRecord>* const records_;
  uint64_t seed_ = 9000;
};

// Opens the fixture in `folder` with TLS, so that clients have identities, and
// lets one store something of each kind.
void AddRecords(const std::string& folder) {
  const std::string tls_folder = MakeTempFolder("tls");
  const auto path = [&tls_folder](const std::string& name) {
    return absl::StrCat(tls_folder, "/", name);
  };
  CertificateAuthority authority("authority");
  WritePrivateFile(path("ca.pem"), authority.certificate_pem());
  for (const std::string& name :
       {std::string("node"), std::string(kFixtureClient)}) {
    const IssuedCertificate issued = authority.Issue({.name = name});
    WritePrivateFile(path(name + ".key"), issued.key_pem);
    WritePrivateFile(path(name + ".pem"), issued.certificate_pem);
  }
  ClusterOptions options;
  options.storages = 0;
  options.members = 2;
  options.tracker_data = folder + "/tracker";
  options.tracker_config = absl::StrCat(
      "tls {\n  certificate_file: \"", path("node.pem"), "\"\n  key_file: \"",
      path("node.key"), "\"\n  ca_file: \"", path("ca.pem"),
      "\"\n  require_client_certificate: true\n}\n");
  auto started = MiniCluster::Start(options);
  ASSERT_THAT(started, IsOk());
  MiniCluster* const cluster = started->get();
  // Both members: one alone does not know whether it has all that it took.
  for (const char* const path_folder : {"/path0", "/path1"}) {
    ASSERT_THAT(cluster->AddStorage({folder + path_folder},
                                    options.tracker_config + kEngine),
                IsOk());
  }
  client::ClientOptions as_client;
  as_client.storage = cluster->storage(0)->address();
  as_client.connect_timeout = kProcessDeadline;
  as_client.attempts_max = 1000;
  as_client.tls.ca_file = path("ca.pem");
  as_client.tls.certificate_file = path(absl::StrCat(kFixtureClient, ".pem"));
  as_client.tls.key_file = path(absl::StrCat(kFixtureClient, ".key"));
  auto client = client::Client::Connect(as_client);
  ASSERT_THAT(client, IsOk());
  std::vector<FixtureRecord> records;
  RecordMaker(client->get(), &records).MakeAll(tls_folder);
  ASSERT_FALSE(::testing::Test::HasFailure());
  client->reset();
  ASSERT_THAT(cluster->storage(0)->Terminate(), IsOk());
  ASSERT_THAT(cluster->storage(1)->Terminate(), IsOk());
  ASSERT_THAT(cluster->tracker()->Terminate(), IsOk());
  ASSERT_THAT(WriteRecords(folder + "/records", records), IsOk());
}

TEST(MakeFixture, OfThisVersion) {
  const char* const outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  ASSERT_NE(outputs, nullptr);
  auto started = MiniCluster::Start(
      {.storages = 2, .members = 2, .storage_config = kEngine});
  ASSERT_THAT(started, IsOk());
  MiniCluster* const cluster = started->get();
  const std::string folder = MakeTempFolder("fixture");
  auto oracle = Oracle::Open(folder + "/oracle");
  ASSERT_THAT(oracle, IsOk());

  StorageStub first(cluster->storage(0)->address());
  StorageStub second(cluster->storage(1)->address());
  std::vector<std::string> file_ids;
  PutAll(&first, oracle->get(), 1000, kSizes, &file_ids);
  PutAll(&second, oracle->get(), 2000, {0, 5000, 100000}, &file_ids);
  Delete(&first, oracle->get(), file_ids[2]);
  Delete(&second, oracle->get(), file_ids[9]);
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  for (StorageStub* stub : {&first, &second}) {
    absl::StatusOr<int64_t> files;
    do {
      absl::SleepFor(absl::Milliseconds(20));
      files = stub->Files();
    } while ((!files.ok() || *files != (*oracle)->live()) &&
             absl::Now() < deadline);
    ASSERT_THAT(files, IsOkAndHolds((*oracle)->live()));
  }

  auto decided = Process::Start(
      {Runfile("clients/cli/cairn"),
       {"node", "set", "storage0", "--weight", absl::StrCat(kFixtureWeight),
        "--tracker", cluster->tracker()->address(), "--secret-file",
        cluster->secret_file(), "--yes", "--timeout", "60s"},
       cluster->folder() + "/cairn"});
  ASSERT_THAT(decided, IsOk());
  const auto ended = (*decided)->Wait();
  ASSERT_THAT(ended, IsOk());
  ASSERT_EQ(ended->ToString(), "exit 0") << (*decided)->Log();

  ASSERT_THAT(cluster->storage(0)->Terminate(), IsOk());
  ASSERT_THAT(cluster->storage(1)->Terminate(), IsOk());
  ASSERT_THAT(cluster->tracker()->Terminate(), IsOk());
  fs::copy(cluster->path_folder(0), folder + "/path0",
           fs::copy_options::recursive);
  fs::copy(cluster->path_folder(1), folder + "/path1",
           fs::copy_options::recursive);
  fs::copy(cluster->tracker()->folder() + "/data", folder + "/tracker",
           fs::copy_options::recursive);
  AddRecords(folder);
  if (HasFatalFailure()) return;
  ASSERT_THAT(PackFixture(folder, absl::StrCat(outputs, "/fixture.tar.gz")),
              IsOk());
}

}  // namespace
}  // namespace testing
}  // namespace cairn
