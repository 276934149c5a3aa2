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
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::AnyOf;

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

// All that the oracle knows, as one member has it.
void ExpectEverything(const std::string& address, const Oracle& oracle) {
  StorageStub stub(address);
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  absl::StatusOr<int64_t> files;
  do {
    absl::SleepFor(absl::Milliseconds(20));
    files = stub.Files();
  } while ((!files.ok() || *files != oracle.live()) && absl::Now() < deadline);
  ASSERT_THAT(files, IsOkAndHolds(oracle.live()));
  int64_t bytes = 0;
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

class CompatTest : public ::testing::TestWithParam<std::string> {};

TEST_P(CompatTest, IsOpenedReadWrittenAndCopied) {
  const std::string folder = MakeTempFolder("fixture");
  ASSERT_THAT(UnpackFixture(GetParam(), folder), IsOk());
  auto oracle = Oracle::Open(folder + "/oracle");
  ASSERT_THAT(oracle, IsOk());
  ASSERT_GT((*oracle)->live(), 0);
  auto started = MiniCluster::Start(
      {.storages = 0, .members = 2, .tracker_data = folder + "/tracker"});
  ASSERT_THAT(started, IsOk());
  MiniCluster* const cluster = started->get();
  ASSERT_THAT(cluster->AddStorage({folder + "/path0"}), IsOk());
  const std::string first = cluster->storage(0)->address();
  ExpectEverything(first, **oracle);

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
  ExpectEverything(second, **oracle);
  ExpectNothingMissing(second);
  // And again from it alone, and after a restart.
  cluster->storage(0)->Kill();
  ExpectEverything(second, **oracle);
  ASSERT_THAT(cluster->storage(0)->Start(), IsOk());
  ExpectEverything(first, **oracle);
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
