// What earlier versions left on disk is opened by this one: everything is read,
// what was deleted stays so, new files are taken, and a new member gets all.

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "clients/cpp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/compat/fixture.h"
#include "integration_tests/mini_cluster/cairn_run.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/checksum/sha256.h"
#include "lib/io/file_system.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

std::vector<std::string> Archives() {
  std::vector<std::string> archives;
  for (const auto& entry : std::filesystem::directory_iterator(
           Runfile("integration_tests/compat/testdata"))) {
    if (absl::EndsWith(entry.path().native(), ".tar.gz")) {
      archives.push_back(entry.path().native());
    }
  }
  std::sort(archives.begin(), archives.end());
  return archives;
}

// All that the oracle knows, as one member has it, next to `records`.
void ExpectEverything(const std::string& address, const Oracle& oracle,
                      const std::vector<FixtureRecord>& records) {
  StorageStub stub(address);
  int64_t live = oracle.live();
  int64_t bytes = 0;
  for (const FixtureRecord& record : records) {
    if (!record.is_file()) continue;
    ++live;
    bytes += record.size_bytes;
  }
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  absl::StatusOr<int64_t> files;
  do {
    absl::SleepFor(absl::Milliseconds(20));
    files = stub.Files();
  } while ((!files.ok() || *files != live) && absl::Now() < deadline);
  ASSERT_THAT(files, IsOkAndHolds(live));
  for (const ExpectedFile& file : oracle.Files()) {
    SCOPED_TRACE(file.file_id);
    if (file.deletion == ExpectedFile::Deletion::kDeleted) {
      // What was deleted long ago is forgotten some day; then those are asked
      // who might know it, and the other member of old is not there.
      EXPECT_THAT(ReasonOf(stub.Get(file.file_id).status()),
                  AnyOf(ErrorReason::kFileDeleted, ErrorReason::kFileNotFound,
                        ErrorReason::kContentNotHere));
      continue;
    }
    absl::StatusOr<std::string> content;
    do {  // A large one may still be on its way.
      content = stub.Get(file.file_id);
    } while (ReasonOf(content.status()) == ErrorReason::kContentNotHere &&
             absl::Now() < deadline);
    ASSERT_THAT(content, IsOk());
    EXPECT_TRUE(*content == file.Content());
    bytes += static_cast<int64_t>(content->size());
  }
  // Also of files whose bytes no version before has counted.
  const auto state = stub.State();
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->store_paths(0).file_bytes(), bytes);
}

void ExpectNothingMissing(const std::string& address) {
  StorageStub stub(address);
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  uint64_t missing = 1;
  while (missing > 0 && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
    const auto state = stub.State();
    ASSERT_THAT(state, IsOk());
    missing = state->store_paths(0).replication().missing_contents();
  }
  EXPECT_EQ(missing, 0u);
}

std::unique_ptr<client::Client> ConnectTo(const std::string& address) {
  client::ClientOptions options;
  options.storage = address;
  options.connect_timeout = kProcessDeadline;
  options.timeout = kProcessDeadline;
  options.attempts_max = 1000;
  auto connected = client::Client::Connect(options);
  EXPECT_THAT(connected, IsOk());
  return connected.ok() ? *std::move(connected) : nullptr;
}

const FixtureRecord& Find(const std::vector<FixtureRecord>& records,
                          absl::string_view what) {
  const auto found = std::find_if(
      records.begin(), records.end(),
      [what](const FixtureRecord& record) { return record.what == what; });
  CAIRN_CHECK(found != records.end());
  return *found;
}

// What is in `records`, as the member at `address` has it.
void ExpectRecords(const std::string& address,
                   const std::vector<FixtureRecord>& records) {
  if (records.empty()) return;
  const std::unique_ptr<client::Client> member = ConnectTo(address);
  ASSERT_NE(member, nullptr);
  for (const FixtureRecord& record : records) {
    SCOPED_TRACE(absl::StrCat(record.what, " ", record.id));
    if (!record.is_file()) continue;
    const auto got = member->Get(record.id, {.include_attributes = true});
    ASSERT_THAT(got, IsOk());
    EXPECT_TRUE(std::string(got->content) == record.Content());
    EXPECT_TRUE(got->info.kind ==
                (record.what == "appender"  ? client::FileKind::kAppender
                 : record.what == "derived" ? client::FileKind::kDerived
                                            : client::FileKind::kNormal));
    EXPECT_EQ(got->info.expire_time.has_value(), record.what == "expiring");
    EXPECT_EQ(got->info.sha256, absl::StartsWith(record.what, "shared")
                                    ? Sha256(record.Content())
                                    : "");
    EXPECT_EQ(got->info.attributes,
              record.what == "attributed" ? FixtureAttributes() : Attributes());
  }
  EXPECT_EQ(member->Stat(Find(records, "expiring").id, {})->expire_time,
            absl::FromUnixSeconds(Find(records, "expiring").unix_seconds));
  const absl::Status sealed =
      member->Stat(Find(records, "sealed_from").id, {}).status();
  EXPECT_EQ(ReasonOf(sealed), ErrorReason::kFileSealed);
  EXPECT_EQ(MetadataOf(sealed)["file_id"], Find(records, "sealed").id);
  EXPECT_THAT(ReasonOf(member->Stat(Find(records, "deleted").id, {}).status()),
              AnyOf(ErrorReason::kFileDeleted, ErrorReason::kFileNotFound));
  const auto derived = member->ListDerived(Find(records, "master").id, {});
  ASSERT_THAT(derived, IsOk());
  ASSERT_EQ(derived->files.size(), 1u);
  EXPECT_EQ(derived->files[0].file_id, Find(records, "derived").id);
}

// The node knows whose these files are.
void ExpectOwner(const std::string& address,
                 const std::vector<FixtureRecord>& records) {
  if (records.empty()) return;
  int64_t files = 0;
  int64_t bytes = 0;
  for (const FixtureRecord& record : records) {
    if (!record.is_file()) continue;
    ++files;
    bytes += record.size_bytes;
  }
  const Finished list =
      RunCairn({"client", "list", "--json", "--storage", address},
               absl::StrCat(MakeTempFolder("list"), "/log"));
  EXPECT_THAT(list.log, HasSubstr(absl::StrCat(
                            "\"client\":\"", kFixtureClient,
                            "\",\"group\":\"group1\",\"files\":", files,
                            ",\"bytes\":", bytes, ",")));
}

// Goes on with what can be gone on with.
void ChangeRecords(const std::string& address,
                   const std::vector<FixtureRecord>& records) {
  if (records.empty()) return;
  const std::unique_ptr<client::Client> member = ConnectTo(address);
  ASSERT_NE(member, nullptr);

  const FixtureRecord& appender = Find(records, "appender");
  ASSERT_THAT(member->Append(appender.id, "more", {}), IsOk());
  EXPECT_TRUE(std::string(member->Get(appender.id)->content) ==
              appender.Content() + "more");

  // What is stored again is found.
  client::PutOptions dedup;
  dedup.dedup = true;
  const auto shared = member->Put(Find(records, "shared1").Content(), dedup);
  ASSERT_THAT(shared, IsOk());
  EXPECT_TRUE(shared->shared);
  // Names of one content go one by one.
  ASSERT_THAT(member->Delete(Find(records, "shared1").id, {.purge = true}),
              IsOk());
  ASSERT_THAT(member->Delete(Find(records, "copied_from").id, {.purge = true}),
              IsOk());
  for (const char* what : {"shared2", "copied"}) {
    const FixtureRecord& left = Find(records, what);
    EXPECT_TRUE(std::string(member->Get(left.id)->content) == left.Content());
  }

  const FixtureRecord& deleted = Find(records, "deleted");
  const auto back = member->Undelete(deleted.id, {});
  if (absl::Now() <
      absl::FromUnixSeconds(deleted.unix_seconds) - kProcessDeadline) {
    ASSERT_THAT(back, IsOk());
    EXPECT_TRUE(std::string(member->Get(deleted.id)->content) ==
                deleted.Content());
  } else {
    EXPECT_EQ(back.status().code(), absl::StatusCode::kNotFound);
  }

  const FixtureRecord& upload = Find(records, "upload");
  const std::string source = MakeTempFolder("source") + "/file";
  ASSERT_THAT(ReplaceFile(FileSystem::Real(), source, upload.Content()),
              IsOk());
  client::ResumableOptions resumed;
  resumed.resume.upload_id = upload.id;
  int64_t sent = 0;
  resumed.part_sent = [&sent](const client::SentPart& part) {
    sent += part.length;
    return absl::OkStatus();
  };
  const auto finished = member->PutFileResumable(source, resumed);
  ASSERT_THAT(finished, IsOk());
  EXPECT_TRUE(std::string(member->Get(finished->info.file_id)->content) ==
              upload.Content());
}

class CompatTest : public ::testing::TestWithParam<std::string> {};

TEST_P(CompatTest, IsOpenedReadWrittenAndCopied) {
  const std::string folder = MakeTempFolder("fixture");
  ASSERT_THAT(UnpackFixture(GetParam(), folder), IsOk());
  auto oracle = Oracle::Open(folder + "/oracle");
  ASSERT_THAT(oracle, IsOk());
  ASSERT_GT((*oracle)->live(), 0);
  const auto records = ReadRecords(folder + "/records");
  ASSERT_THAT(records, IsOk());
  auto started = MiniCluster::Start(
      {.storages = 0, .members = 2, .tracker_data = folder + "/tracker"});
  ASSERT_THAT(started, IsOk());
  MiniCluster* const cluster = started->get();
  // An upload in parts stays for as long as the archive may.
  ASSERT_THAT(cluster->AddStorage(
                  {folder + "/path0"},
                  "engine { upload_lifetime { seconds: 9000000000 } }\n"),
              IsOk());
  const std::string first = cluster->storage(0)->address();
  ExpectEverything(first, **oracle, *records);
  ExpectRecords(first, *records);
  ExpectOwner(first, *records);

  // What an operator decided is in force.
  auto client =
      client::Client::Connect({.trackers = cluster->tracker_addresses(),
                               .connect_timeout = kProcessDeadline});
  ASSERT_THAT(client, IsOk());
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  uint32_t weight = 0;
  while (weight != kFixtureWeight && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
    for (const auto& node : (*client)->cluster()->nodes()) {
      if (node.name == "storage0") weight = node.weight;
    }
  }
  EXPECT_EQ(weight, kFixtureWeight);

  StorageStub stub(first);
  uint64_t seed = 5000;
  for (const int64_t size : {int64_t{10}, int64_t{50000}, int64_t{2 << 20}}) {
    const Uuid request =
        (*oracle)->BeginPut(size, ++seed, /*synced=*/true, /*replicas=*/1);
    const auto stored =
        stub.Put(request, ContentOf(seed, size), {.replicas = 1});
    ASSERT_THAT(stored, IsOk());
    (*oracle)->Stored(request, stored->file_id);
  }
  const std::string deleted = (*oracle)->Files().front().file_id;
  const Uuid request = (*oracle)->BeginDelete(deleted);
  ASSERT_THAT(stub.Delete(request, deleted), IsOk());
  (*oracle)->Deleted(request);

  ASSERT_THAT(cluster->AddStorage({cluster->path_folder(1)}), IsOk());
  const std::string second = cluster->storage(1)->address();
  ExpectEverything(second, **oracle, *records);
  ExpectNothingMissing(second);
  // And again from it alone, and after a restart.
  cluster->storage(0)->Kill();
  ExpectEverything(second, **oracle, *records);
  ExpectRecords(second, *records);
  ExpectOwner(second, *records);
  ASSERT_THAT(cluster->storage(0)->Start(), IsOk());
  ExpectEverything(first, **oracle, *records);
  ExpectRecords(first, *records);
  ExpectOwner(first, *records);
  ChangeRecords(first, *records);
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = std::filesystem::path(info.param).filename().string();
  name.resize(name.size() - std::string(".tar.gz").size());
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Versions, CompatTest, ::testing::ValuesIn(Archives()),
                         NameOf);

}  // namespace
}  // namespace testing
}  // namespace cairn
