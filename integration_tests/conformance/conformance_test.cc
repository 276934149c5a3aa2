// What every file store of this kind must do with a file, alike at a single
// node, through the different members of a group, and over a restart of
// everything in the middle: each case does something, and what came of it is
// looked at afterwards at each member.

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/conformance/world.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/sha256.h"
#include "lib/file_id/file_id.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using client::Client;

constexpr int64_t kKiB = 1 << 10;
constexpr int64_t kMiB = 1 << 20;

struct Variation {
  const char* name;
  Site site;
  bool restart;  // Of everything, before what came of a case is looked at.
};

constexpr Variation kVariations[] = {
    {"SingleNode", Site::kSingle, false},
    {"SingleNodeRestarted", Site::kSingle, true},
    {"Group", Site::kGroup, false},
    {"GroupRestarted", Site::kGroup, true},
};

// Gives what a string holds, in pieces of odd sizes.
class StringReader : public client::ContentReader {
 public:
  explicit StringReader(std::string content) : content_(std::move(content)) {}

  absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
    const size_t length =
        std::min({size, content_.size() - at_, size_t{70001}});
    content_.copy(buffer, length, at_);
    at_ += length;
    return length;
  }
  bool Rewind() override {
    at_ = 0;
    return true;
  }

 private:
  const std::string content_;
  size_t at_ = 0;
};

AttributeChange Merge(Attributes set, std::vector<std::string> remove = {}) {
  return {/*overwrite=*/false, std::move(set), std::move(remove)};
}

class ConformanceTest : public ::testing::TestWithParam<Variation> {
 protected:
  ConformanceTest() : world_(World::Of(GetParam().site)), expected_(world_) {}

  void TearDown() override {
    if (HasFatalFailure()) return;
    if (GetParam().restart) {
      // In turn with -9 and as an operator does it.
      static int restarts = 0;
      world_->RestartEverything(/*kill=*/restarts++ % 2 == 0);
    }
    expected_.Check();
  }

  // Stores a file at a member and returns its ID.
  std::string Put(const std::string& content,
                  const client::PutOptions& options = {}) {
    const auto put = world_->Next()->Put(content, options);
    EXPECT_THAT(put, IsOk());
    return put.ok() ? put->info.file_id : "";
  }

  std::string CreateAppender(const std::string& content) {
    const auto created = world_->client()->CreateAppender(content);
    EXPECT_THAT(created, IsOk());
    return created.ok() ? created->info.file_id : "";
  }

  World* const world_;
  Expectations expected_;
};

INSTANTIATE_TEST_SUITE_P(Sites, ConformanceTest,
                         ::testing::ValuesIn(kVariations),
                         [](const auto& info) { return info.param.name; });

// ---- Upload.

TEST_P(ConformanceTest, StoresFilesOfEverySize) {
  for (const int64_t size :
       {int64_t{0}, int64_t{1}, int64_t{4096}, 256 * kKiB - 1, 256 * kKiB,
        256 * kKiB + 1, kMiB, kMiB + 1, 5 * kMiB + 17}) {
    SCOPED_TRACE(size);
    const std::string content = ContentOf(static_cast<uint64_t>(size), size);
    const auto put = world_->Next()->Put(content, {.extension = "bin"});
    ASSERT_THAT(put, IsOk());
    EXPECT_EQ(put->info.size_bytes, size);
    EXPECT_EQ(put->info.crc32c, Crc32c(content));
    EXPECT_TRUE(put->info.kind == client::FileKind::kNormal);
    EXPECT_TRUE(put->level == client::DurabilityLevel::kSynced);
    EXPECT_GE(put->replicas, 1U);
    // The ID alone says as much.
    const auto parts = ParseFileId(put->info.file_id);
    ASSERT_THAT(parts, IsOk());
    const auto fields = DecodeFileName(parts->name);
    ASSERT_THAT(fields, IsOk());
    EXPECT_EQ(fields->size_bytes, size);
    EXPECT_EQ(fields->crc32c, put->info.crc32c);
    EXPECT_EQ(fields->node_number, put->info.origin_node);

    const auto stat = world_->Next()->Stat(put->info.file_id);
    ASSERT_THAT(stat, IsOk());
    EXPECT_EQ(stat->size_bytes, size);
    EXPECT_EQ(stat->crc32c, put->info.crc32c);
    EXPECT_EQ(stat->create_time, put->info.create_time);
    EXPECT_EQ(stat->version_clock, put->info.version_clock);
    expected_.File(put->info.file_id, content);
  }
}

TEST_P(ConformanceTest, StoresStreamsOfKnownAndUnknownLength) {
  for (const int64_t size : {int64_t{0}, int64_t{5}, kMiB, 3 * kMiB + 1}) {
    for (const bool known : {true, false}) {
      SCOPED_TRACE(absl::StrCat(size, known ? " known" : " not known"));
      const std::string content = ContentOf(91, size);
      StringReader reader(content);
      absl::optional<int64_t> declared;
      if (known) declared = size;
      const auto put = world_->Next()->PutFrom(&reader, declared);
      ASSERT_THAT(put, IsOk());
      EXPECT_EQ(put->info.size_bytes, size);
      expected_.File(put->info.file_id, content);
    }
  }
}

TEST_P(ConformanceTest, RefusesAStreamOfAnotherLength) {
  for (const int64_t declared : {2 * kMiB - 1, 2 * kMiB + 1}) {
    StringReader reader(ContentOf(5, 2 * kMiB));
    const auto put = world_->Next()->PutFrom(&reader, declared);
    EXPECT_THAT(put, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_EQ(ReasonOf(put.status()), ErrorReason::kSizeMismatch);
  }
}

TEST_P(ConformanceTest, StoresInPartsOverSeveralStreams) {
  const std::string content = ContentOf(17, 9 * kMiB + 333);
  const std::string path = absl::StrCat(MakeTempFolder("parts"), "/file");
  std::ofstream(path, std::ios::binary) << content;
  client::ResumableOptions options;
  options.streams = 3;
  options.part_bytes = kMiB;
  int parts = 0;
  options.part_sent = [&parts](const client::SentPart&) {
    ++parts;
    return absl::OkStatus();
  };
  const auto put = world_->Next()->PutFileResumable(path, options);
  ASSERT_THAT(put, IsOk());
  EXPECT_EQ(parts, 10);
  EXPECT_EQ(put->info.crc32c, Crc32c(content));
  expected_.File(put->info.file_id, content);
}

TEST_P(ConformanceTest, ExtensionsUpToTheirLimit) {
  for (const char* extension :
       {"", "a", "tar.gz", "JPEG2000", "123456789012345"}) {
    const std::string id = Put("named", {.extension = extension});
    if (*extension != '\0') {
      EXPECT_TRUE(absl::EndsWith(id, absl::StrCat(".", extension))) << id;
    }
    expected_.File(id, "named");
  }
  for (const char* extension :
       {"1234567890123456", ".gz", "gz.", "a..b", "a/b", "a b", "\xC3\xA4"}) {
    const auto put = world_->Next()->Put("x", {.extension = extension});
    EXPECT_THAT(put, StatusIs(absl::StatusCode::kInvalidArgument)) << extension;
    EXPECT_EQ(ReasonOf(put.status()), ErrorReason::kInvalidField);
  }
}

TEST_P(ConformanceTest, ARequestThatIsRepeatedStoresOnce) {
  client::PutOptions options;
  options.request_id = Uuid::Random();
  for (const int64_t size : {int64_t{100}, 2 * kMiB}) {
    options.request_id = Uuid::Random();
    Client* const member = world_->Next();
    const std::string content = ContentOf(3, size);
    const auto first = member->Put(content, options);
    ASSERT_THAT(first, IsOk());
    EXPECT_FALSE(first->replayed);
    const auto second = member->Put(content, options);
    ASSERT_THAT(second, IsOk());
    EXPECT_TRUE(second->replayed);
    EXPECT_EQ(second->info.file_id, first->info.file_id);
    expected_.File(first->info.file_id, content);

    // The same id for something else.
    const auto reused =
        member->Delete(first->info.file_id, {.request_id = options.request_id});
    EXPECT_THAT(reused, StatusIs(absl::StatusCode::kAlreadyExists));
    EXPECT_EQ(ReasonOf(reused.status()), ErrorReason::kRequestIdReused);
  }
}

TEST_P(ConformanceTest, TwoClientsWithOneRequestStoreOneFile) {
  client::PutOptions options;
  options.request_id = Uuid::Random();
  Client* const member = world_->Next();
  std::vector<std::string> ids(2);
  std::vector<std::thread> threads;
  for (std::string& id : ids) {
    threads.emplace_back([&] {
      const auto put = member->Put("the same", options);
      EXPECT_THAT(put, IsOk());
      if (put.ok()) id = put->info.file_id;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ids[0], ids[1]);
  expected_.File(ids[0], "the same");
}

TEST_P(ConformanceTest, RefusesGroupsAndStorePathsThatAreNotThere) {
  const auto group = world_->client()->Put("x", {.group = "elsewhere"});
  EXPECT_EQ(ReasonOf(group.status()), ErrorReason::kUnknownGroup);
  client::PutOptions path;
  path.store_path = 200;
  EXPECT_THAT(world_->Next()->Put("x", path), ::testing::Not(IsOk()));
}

// ---- Download.

TEST_P(ConformanceTest, RangesOfAFile) {
  for (const int64_t size : {int64_t{0}, int64_t{10}, kMiB + 5}) {
    SCOPED_TRACE(size);
    const std::string content = ContentOf(7, size);
    const std::string id = Put(content);
    struct Range {
      int64_t offset;
      absl::optional<int64_t> length;
    };
    const std::vector<Range> ranges = {
        {0, {}},
        {0, 0},
        {0, 1},
        {size, {}},
        {size, 1},
        {size / 2, size},
        {size / 3, size / 3},
        {std::max<int64_t>(size - 1, 0), 1},
        {0, std::numeric_limits<int64_t>::max()},
        {std::min<int64_t>(256 * kKiB - 1, size), 2}};
    for (const Range& range : ranges) {
      const auto got = world_->Next()->Get(
          id, {.offset = range.offset, .length = range.length});
      ASSERT_THAT(got, IsOk());
      const auto offset = static_cast<size_t>(range.offset);
      const size_t length = range.length.has_value()
                                ? std::min(static_cast<size_t>(*range.length),
                                           content.size() - offset)
                                : content.size() - offset;
      EXPECT_TRUE(got->content == content.substr(offset, length))
          << range.offset;
      EXPECT_EQ(got->info.size_bytes, size);
    }
    const auto past = world_->Next()->Get(id, {.offset = size + 1});
    EXPECT_THAT(past, StatusIs(absl::StatusCode::kOutOfRange));
    EXPECT_EQ(ReasonOf(past.status()), ErrorReason::kRangePastEnd);
    EXPECT_EQ(MetadataOf(past.status())["size_bytes"], absl::StrCat(size));
    expected_.File(id, content);
  }
}

TEST_P(ConformanceTest, DownloadsToAFileWhole) {
  const std::string content = ContentOf(23, 3 * kMiB + 9);
  const std::string id = Put(content);
  const std::string path = absl::StrCat(MakeTempFolder("download"), "/file");
  std::ofstream(path) << "what was there before";
  const auto info = world_->Next()->GetToFile(id, path);
  ASSERT_THAT(info, IsOk());
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(file), {}) == content);
  expected_.File(id, content);
}

// ---- There or not there.

TEST_P(ConformanceTest, TellsIdsThatAreNone) {
  for (const char* id :
       {"", "x", "group1/M00/00/00/short", "../../etc/passwd",
        "group1/M00/3F/A2/wKgBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.jp/g"}) {
    const auto stat = world_->Next()->Stat(id);
    EXPECT_THAT(stat, StatusIs(absl::StatusCode::kInvalidArgument)) << id;
    EXPECT_EQ(ReasonOf(stat.status()), ErrorReason::kInvalidFileId) << id;
  }
}

TEST_P(ConformanceTest, RefusesAForgedId) {
  const std::string id = Put("credential");
  expected_.File(id, "credential");
  // Any other last character of the 40 is another tag.
  std::string forged = id;
  char& last = forged.back();
  last = last == 'A' ? 'B' : 'A';
  for (int member = 0; member < world_->members(); ++member) {
    for (const absl::Status& status :
         {world_->At(member)->Stat(forged).status(),
          world_->At(member)->Get(forged).status(),
          world_->At(member)->Delete(forged).status()}) {
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
      EXPECT_EQ(ReasonOf(status), ErrorReason::kForgedFileId);
    }
  }
}

TEST_P(ConformanceTest, AFileThatNeverWasIsNotFound) {
  std::ifstream secret_file(world_->cluster()->secret_file());
  std::string secret((std::istreambuf_iterator<char>(secret_file)), {});
  const FileIdCodec codec(absl::StripAsciiWhitespace(secret));
  FileIdFields fields;
  fields.node_number = 12345;
  fields.create_unix_seconds = 1700000000;
  fields.size_bytes = 5;
  const std::string id =
      absl::StrCat("group1/M00/", codec.MakeName("group1", 0, fields, "txt"));
  for (int member = 0; member < world_->members(); ++member) {
    Client* const client = world_->At(member);
    for (const absl::Status& status :
         {client->Stat(id).status(), client->Get(id).status(),
          client->Delete(id).status(),
          client->SetAttributes(id, Merge({{"k", "v"}})).status()}) {
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound));
      EXPECT_EQ(ReasonOf(status), ErrorReason::kFileNotFound);
    }
  }
  expected_.Gone(id, ErrorReason::kFileNotFound);
}

// ---- Delete.

TEST_P(ConformanceTest, ADeletedFileStaysDeleted) {
  for (const int64_t size : {int64_t{0}, int64_t{1000}, 2 * kMiB}) {
    SCOPED_TRACE(size);
    const std::string id = Put(ContentOf(11, size));
    // At a member that may not even have it yet.
    Client* const member = world_->Next();
    client::DeleteOptions options;
    options.request_id = Uuid::Random();
    const auto first = member->Delete(id, options);
    ASSERT_THAT(first, IsOk());
    EXPECT_FALSE(first->replayed);
    const auto again = member->Delete(id, options);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    const auto second = member->Delete(id);
    EXPECT_THAT(second, StatusIs(absl::StatusCode::kNotFound));
    EXPECT_EQ(ReasonOf(second.status()), ErrorReason::kFileDeleted);
    expected_.Gone(id, ErrorReason::kFileDeleted);
  }
}

TEST_P(ConformanceTest, OfTwoClientsOneDeletes) {
  const std::string id = Put("contested");
  Client* const member = world_->Next();
  std::atomic<int> deleted{0};
  std::atomic<int> not_found{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      const auto status = member->Delete(id).status();
      if (status.ok()) ++deleted;
      if (ReasonOf(status) == ErrorReason::kFileDeleted) ++not_found;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(deleted, 1);
  EXPECT_EQ(not_found, 1);
  expected_.Gone(id, ErrorReason::kFileDeleted);
}

TEST_P(ConformanceTest, ADeletionIsTakenBack) {
  for (const int64_t size : {int64_t{0}, int64_t{1000}, 2 * kMiB}) {
    SCOPED_TRACE(size);
    client::PutOptions put;
    put.attributes = {{"of", absl::StrCat(size)}};
    put.lifetime.expire_time = absl::FromUnixSeconds(4000000000);
    put.durability = world_->Everywhere();
    const std::string content = ContentOf(12, size);
    const std::string id = Put(content, put);
    for (int round = 0; round < 2; ++round) {
      // Brought back through a member that may not have heard of the deletion.
      const auto deleted = world_->Next()->Delete(id);
      ASSERT_THAT(deleted, IsOk());
      ASSERT_TRUE(deleted->undelete_until.has_value());
      EXPECT_GT(*deleted->undelete_until, absl::Now() + absl::Hours(12));
      client::UndeleteOptions options;
      options.request_id = Uuid::Random();
      options.durability = world_->Everywhere();
      const auto back = world_->client()->Undelete(id, options);
      ASSERT_THAT(back, IsOk());
      EXPECT_EQ(back->info.file_id, id);
      EXPECT_EQ(back->info.size_bytes, size);
      EXPECT_EQ(back->info.expire_time, put.lifetime.expire_time);
      const auto got = world_->Next()->Get(id);
      ASSERT_THAT(got, IsOk());
      EXPECT_TRUE(got->content == content);
    }
    const auto there = world_->client()->Undelete(id);
    EXPECT_EQ(ReasonOf(there.status()), ErrorReason::kFileExists);
    expected_.Changed(id, content, put.attributes);
  }
}

TEST_P(ConformanceTest, WhatIsPurgedIsNotBroughtBack) {
  for (const bool deleted_before : {false, true}) {
    const std::string id = Put(ContentOf(13, 2 * kMiB));
    client::DeleteOptions options;
    options.durability = world_->Everywhere();
    if (deleted_before) {
      ASSERT_THAT(world_->Next()->Delete(id, options), IsOk());
    }
    options.purge = true;
    const auto purged = world_->Next()->Delete(id, options);
    ASSERT_THAT(purged, IsOk());
    EXPECT_FALSE(purged->undelete_until.has_value());
    const auto back = world_->client()->Undelete(id);
    EXPECT_EQ(ReasonOf(back.status()), ErrorReason::kFileDeleted);
    expected_.Gone(id, ErrorReason::kFileDeleted);
  }
  const auto never = world_->client()->Undelete("group1/M00/00/00/x");
  EXPECT_THAT(never, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(ConformanceTest, ADeletedAppenderComesBackAndGoesOn) {
  const std::string id = CreateAppender("begun");
  Client* const client = world_->client();
  ASSERT_THAT(client->Append(id, ", more"), IsOk());
  ASSERT_THAT(client->Delete(id), IsOk());
  ASSERT_THAT(client->Undelete(id), IsOk());
  ASSERT_THAT(client->Append(id, ", end"), IsOk());
  expected_.Changed(id, "begun, more, end");
}

// ---- Attributes.

TEST_P(ConformanceTest, AttributesComeWithTheFile) {
  for (const int64_t size : {int64_t{10}, 2 * kMiB}) {
    client::PutOptions options;
    options.attributes = {{"content-type", "image/jpeg"},
                          {"empty", ""},
                          {"binary", std::string("\0\xFF", 2)}};
    const std::string content = ContentOf(13, size);
    const std::string id = Put(content, options);
    const auto stat = world_->Next()->Stat(id, {.include_attributes = true});
    ASSERT_THAT(stat, IsOk());
    EXPECT_EQ(stat->attributes, options.attributes);
    expected_.File(id, content, options.attributes);
  }
}

TEST_P(ConformanceTest, AttributesAreOverwrittenMergedAndRemoved) {
  const std::string id = Put("described", {.attributes = {{"a", "1"}}});
  Client* const client = world_->client();
  ASSERT_THAT(client->SetAttributes(id, Merge({{"b", "2"}, {"c", "3"}})),
              IsOk());
  ASSERT_THAT(client->SetAttributes(id, Merge({{"c", "4"}}, {"a", "none"})),
              IsOk());
  auto stat = client->Stat(id, {.include_attributes = true});
  ASSERT_THAT(stat, IsOk());
  if (GetParam().site == Site::kSingle) {
    EXPECT_EQ(stat->attributes, (Attributes{{"b", "2"}, {"c", "4"}}));
  }
  ASSERT_THAT(client->SetAttributes(id, {/*overwrite=*/true, {}, {}}), IsOk());
  ASSERT_THAT(client->SetAttributes(id, Merge({{"last", "one"}})), IsOk());
  expected_.Changed(id, "described", Attributes{{"last", "one"}});
}

TEST_P(ConformanceTest, AttributesUpToTheirLimits) {
  Attributes most;
  for (size_t i = 0; i < kAttributesMax; ++i) {
    std::string key = absl::StrCat("key", i);
    key.resize(kAttributeKeyBytesMax, 'x');
    most[key] = std::string(kAttributeValueBytesMax, static_cast<char>(i));
  }
  const std::string id = Put("full", {.attributes = most});
  expected_.File(id, "full", most);

  Attributes more = most;
  more["one more"] = "";
  Attributes long_key;
  long_key[std::string(kAttributeKeyBytesMax + 1, 'k')] = "";
  const Attributes long_value = {
      {"k", std::string(kAttributeValueBytesMax + 1, 'v')}};
  for (const Attributes& attributes : {more, long_key, long_value}) {
    const auto put = world_->Next()->Put("x", {.attributes = attributes});
    EXPECT_THAT(put, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_EQ(ReasonOf(put.status()), ErrorReason::kTooLarge);
  }
  const auto sum =
      world_->client()->SetAttributes(id, Merge({{"one more", ""}}));
  EXPECT_THAT(sum, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(sum.status()), ErrorReason::kTooLarge);
  EXPECT_EQ(MetadataOf(sum.status())["limit"], absl::StrCat(kAttributesMax));
}

TEST_P(ConformanceTest, OfTwoClientsWithOneVersionOneChangesAttributes) {
  const auto put = world_->client()->Put("versioned");
  ASSERT_THAT(put, IsOk());
  client::SetAttributesOptions options;
  options.if_version_match =
      std::make_pair(put->info.version_clock, put->info.version_node);
  std::atomic<int> won{0};
  std::atomic<int> lost{0};
  std::string winner;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      const std::string name = absl::StrCat("client", i);
      const auto status =
          world_->client()
              ->SetAttributes(put->info.file_id, Merge({{"winner", name}}),
                              options)
              .status();
      if (status.ok() && ++won == 1) winner = name;
      if (ReasonOf(status) == ErrorReason::kVersionMismatch) ++lost;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, 1);
  expected_.Changed(put->info.file_id, "versioned",
                    Attributes{{"winner", winner}});
}

// ---- Appenders.

TEST_P(ConformanceTest, AppendersGrowChangeAndShrink) {
  Client* const client = world_->client();
  const std::string id = CreateAppender("");
  std::string content;
  for (const int64_t size :
       {int64_t{0}, int64_t{1}, int64_t{5000}, 256 * kKiB, kMiB}) {
    const std::string more = ContentOf(static_cast<uint64_t>(size) + 1, size);
    const auto appended = client->Append(id, more);
    ASSERT_THAT(appended, IsOk());
    content += more;
    EXPECT_EQ(appended->info.size_bytes, static_cast<int64_t>(content.size()));
    EXPECT_EQ(appended->info.crc32c, Crc32c(content));
    EXPECT_TRUE(appended->info.kind == client::FileKind::kAppender);
  }
  // At the beginning, over the edge of a block, at the end, and past it.
  for (const int64_t offset :
       {int64_t{0}, 256 * kKiB - 2, static_cast<int64_t>(content.size()) - 2,
        static_cast<int64_t>(content.size()) + 1}) {
    const std::string other = "abc";
    ASSERT_THAT(client->Modify(id, offset, other), IsOk());
    const auto at = static_cast<size_t>(offset);
    content.resize(std::max(content.size(), at + other.size()));
    content.replace(at, other.size(), other);
  }
  for (const int64_t size :
       {300 * kKiB + 1, 256 * kKiB, 300 * kKiB, int64_t{5}}) {
    const auto truncated = client->Truncate(id, size);
    ASSERT_THAT(truncated, IsOk());
    content.resize(static_cast<size_t>(size), '\0');
    EXPECT_EQ(truncated->info.size_bytes, size);
    EXPECT_EQ(truncated->info.crc32c, Crc32c(content));
  }
  expected_.Changed(id, content);

  const std::string emptied = CreateAppender("something");
  ASSERT_THAT(client->Truncate(emptied, 0), IsOk());
  expected_.Changed(emptied, "");
}

TEST_P(ConformanceTest, AppendersRefuseWhatCannotBe) {
  Client* const client = world_->client();
  const std::string id = CreateAppender("0123456789");
  const auto past = client->Modify(id, 11, "x");
  EXPECT_THAT(past, StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(MetadataOf(past.status())["size_bytes"], "10");
  EXPECT_EQ(ReasonOf(client->Truncate(id, -1).status()),
            ErrorReason::kInvalidField);
  const std::string most(Client::kUpdateBytesMax, 'm');
  ASSERT_THAT(client->Append(id, most), IsOk());
  const auto more = client->Append(id, most + "m");
  EXPECT_THAT(more, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(more.status()), ErrorReason::kTooLarge);
  expected_.Changed(id, "0123456789" + most);

  const std::string normal = Put("normal");
  for (const absl::Status& status : {client->Append(normal, "x").status(),
                                     client->Modify(normal, 0, "x").status(),
                                     client->Truncate(normal, 0).status()}) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_EQ(ReasonOf(status), ErrorReason::kNotAnAppender);
    EXPECT_EQ(MetadataOf(status)["kind"], "NORMAL");
  }
  expected_.File(normal, "normal");

  const std::string deleted = CreateAppender("gone");
  ASSERT_THAT(client->Delete(deleted), IsOk());
  expected_.Gone(deleted, ErrorReason::kFileDeleted);
  // Whoever has heard of the deletion says so; its origin takes the changes.
  if (GetParam().site == Site::kSingle) {
    EXPECT_EQ(ReasonOf(client->Append(deleted, "x").status()),
              ErrorReason::kFileDeleted);
  }
}

TEST_P(ConformanceTest, AnAppendThatIsRepeatedAddsOnce) {
  const std::string id = CreateAppender("once: ");
  client::UpdateOptions options;
  options.request_id = Uuid::Random();
  for (const bool replayed : {false, true}) {
    const auto appended = world_->client()->Append(id, "added", options);
    ASSERT_THAT(appended, IsOk());
    EXPECT_EQ(appended->replayed, replayed);
    EXPECT_EQ(appended->info.size_bytes, 11);
  }
  // Another change in between: the first one's answer is still its own.
  ASSERT_THAT(world_->client()->Append(id, "!"), IsOk());
  const auto late = world_->client()->Append(id, "added", options);
  ASSERT_THAT(late, IsOk());
  EXPECT_TRUE(late->replayed);
  EXPECT_EQ(late->info.size_bytes, 11);
  expected_.Changed(id, "once: added!");
}

TEST_P(ConformanceTest, OfTwoAppendersWithOneConditionOneAppends) {
  const std::string id = CreateAppender("0");
  const std::unique_ptr<Client> other = world_->Connect();
  client::UpdateOptions options;
  options.if_size_bytes = 1;
  std::vector<absl::Status> statuses(2);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < statuses.size(); ++i) {
    threads.emplace_back([&, i] {
      Client* const client = i == 0 ? world_->client() : other.get();
      statuses[i] =
          client->Append(id, i == 0 ? "first" : "other", options).status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  const size_t winner = statuses[0].ok() ? 0 : 1;
  EXPECT_THAT(statuses[winner], IsOk());
  EXPECT_THAT(statuses[1 - winner], StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(ReasonOf(statuses[1 - winner]), ErrorReason::kConditionFailed);
  EXPECT_EQ(MetadataOf(statuses[1 - winner])["size_bytes"], "6");
  expected_.Changed(id, winner == 0 ? "0first" : "0other");
}

TEST_P(ConformanceTest, TwoAppendersNeverInterleave) {
  const std::string id = CreateAppender("");
  const std::unique_ptr<Client> other = world_->Connect();
  constexpr int kRecords = 30;
  constexpr size_t kRecordBytes = 777;
  std::vector<std::thread> threads;
  for (int writer = 0; writer < 2; ++writer) {
    threads.emplace_back([&, writer] {
      Client* const client = writer == 0 ? world_->client() : other.get();
      for (int i = 0; i < kRecords; ++i) {
        const std::string record(kRecordBytes, static_cast<char>('a' + writer));
        EXPECT_THAT(client->Append(id, record), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // The member that is asked may be behind.
  constexpr size_t kBytes = 2 * kRecords * kRecordBytes;
  std::string content;
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  while (content.size() < kBytes && absl::Now() < deadline) {
    const auto got = world_->Next()->Get(id);
    ASSERT_THAT(got, IsOk());
    content = std::string(got->content);
    ASSERT_EQ(content.size() % kRecordBytes, 0U);
  }
  ASSERT_EQ(content.size(), kBytes);
  for (size_t at = 0; at < content.size(); at += kRecordBytes) {
    EXPECT_EQ(content.substr(at, kRecordBytes),
              std::string(kRecordBytes, content[at]));
  }
  expected_.Changed(id, content);
}

TEST_P(ConformanceTest, AppendersKeepTheirAttributes) {
  const auto created = world_->client()->CreateAppender(
      "log", {.attributes = {{"content-type", "text/plain"}}});
  ASSERT_THAT(created, IsOk());
  const std::string id = created->info.file_id;
  ASSERT_THAT(world_->client()->Append(id, " line"), IsOk());
  ASSERT_THAT(world_->client()->SetAttributes(id, Merge({{"closed", "no"}})),
              IsOk());
  ASSERT_THAT(world_->client()->Append(id, " end"), IsOk());
  expected_.Changed(
      id, "log line end",
      Attributes{{"content-type", "text/plain"}, {"closed", "no"}});
}

// ---- Lifetimes.

TEST_P(ConformanceTest, AnExpiredFileIsNotFoundAnywhere) {
  for (const int64_t size : {int64_t{10}, 2 * kMiB}) {
    client::PutOptions options;
    options.lifetime.time_to_live = absl::Seconds(1);
    const auto put = world_->Next()->Put(ContentOf(29, size), options);
    ASSERT_THAT(put, IsOk());
    EXPECT_TRUE(put->info.expire_time.has_value());
    expected_.Gone(put->info.file_id, ErrorReason::kFileExpired);
  }
  const std::string id = Put("for a while");
  const auto set =
      world_->client()->SetExpiry(id, client::Lifetime{{}, absl::Seconds(1)});
  ASSERT_THAT(set, IsOk());
  expected_.Gone(id, ErrorReason::kFileExpired);
}

TEST_P(ConformanceTest, AnExpiryCanBePutOffAndTakenBack) {
  client::PutOptions options;
  options.lifetime.expire_time = absl::Now() + absl::Hours(1);
  const std::string id = Put("stays", options);
  Client* const client = world_->client();
  const absl::Time later = absl::FromUnixSeconds(4000000000);
  const auto put_off =
      client->SetExpiry(id, client::Lifetime{later, absl::nullopt});
  ASSERT_THAT(put_off, IsOk());
  EXPECT_EQ(put_off->info.expire_time, later);
  const auto never = client->SetExpiry(id, client::Lifetime{});
  ASSERT_THAT(never, IsOk());
  EXPECT_FALSE(never->info.expire_time.has_value());
  const auto past = client->SetExpiry(
      id, client::Lifetime{absl::Now() - absl::Hours(1), absl::nullopt});
  EXPECT_THAT(past, StatusIs(absl::StatusCode::kInvalidArgument));
  expected_.Changed(id, "stays");
}

// ---- Derived files.

TEST_P(ConformanceTest, ADerivedFileHasTheIdThatItsMasterGivesIt) {
  const std::string master = Put("the photo", {.extension = "jpg"});
  expected_.File(master, "the photo");
  for (const int64_t size : {int64_t{0}, int64_t{300}, 2 * kMiB}) {
    SCOPED_TRACE(size);
    client::PutOptions options;
    options.derived_from = master;
    options.prefix = absl::StrCat("_", size);
    options.extension = "png";
    const std::string content = ContentOf(31, size);
    const auto put = world_->client()->Put(content, options);
    ASSERT_THAT(put, IsOk());
    EXPECT_THAT(DerivedFileId(master, options.prefix, "png"),
                IsOkAndHolds(put->info.file_id));
    EXPECT_TRUE(put->info.kind == client::FileKind::kDerived);
    EXPECT_EQ(put->info.size_bytes, size);
    EXPECT_EQ(put->info.crc32c, Crc32c(content));
    expected_.File(put->info.file_id, content);

    const auto again = world_->client()->Put(content, options);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    const auto other = world_->client()->Put(content + "x", options);
    EXPECT_THAT(other, StatusIs(absl::StatusCode::kAlreadyExists));
    EXPECT_EQ(ReasonOf(other.status()), ErrorReason::kFileExists);
    EXPECT_EQ(MetadataOf(other.status())["size_bytes"], absl::StrCat(size));

    options.derived_from = put->info.file_id;
    const auto of_derived = world_->client()->Put("x", options);
    EXPECT_EQ(ReasonOf(of_derived.status()), ErrorReason::kWrongKind);
  }
  client::ListDerivedOptions page;
  page.page_size = 2;
  std::vector<std::string> listed;
  do {
    const auto derived = world_->client()->ListDerived(master, page);
    ASSERT_THAT(derived, IsOk());
    for (const client::FileInfo& file : derived->files) {
      listed.push_back(file.file_id);
    }
    page.page_token = derived->next_page_token;
  } while (!page.page_token.empty());
  if (GetParam().site == Site::kSingle) {
    EXPECT_EQ(listed.size(), 3U);
  }
}

TEST_P(ConformanceTest, ACopyIsAFileOfItsOwn) {
  for (const int64_t size : {int64_t{0}, int64_t{300}, 3 * kMiB + 5}) {
    SCOPED_TRACE(size);
    const std::string content =
        ContentOf(static_cast<uint64_t>(size) + 71, size);
    client::PutOptions options;
    options.extension = "bin";
    options.attributes = {{"k", "v"}};
    const std::string id = Put(content, options);

    client::CopyOptions copy;
    copy.durability = world_->Everywhere();
    const auto copied = world_->Next()->Copy(id, copy);
    ASSERT_THAT(copied, IsOk());
    EXPECT_NE(copied->info.file_id, id);
    EXPECT_EQ(copied->info.size_bytes, size);
    const auto info = world_->Next()->Stat(copied->info.file_id,
                                           {.include_attributes = true});
    ASSERT_THAT(info, IsOk());
    EXPECT_EQ(info->attributes, options.attributes);
    expected_.File(copied->info.file_id, content);

    copy.request_id = Uuid::Random();
    copy.extension = "";
    copy.attributes.emplace();
    const auto second = world_->client()->Copy(copied->info.file_id, copy);
    ASSERT_THAT(second, IsOk());
    const auto again = world_->client()->Copy(copied->info.file_id, copy);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->info.file_id, second->info.file_id);
    EXPECT_EQ(again->shared, second->shared);

    // Each may go first.
    ASSERT_THAT(
        world_->client()->Delete(size == 300 ? second->info.file_id : id),
        IsOk());
    expected_.Gone(size == 300 ? second->info.file_id : id,
                   ErrorReason::kFileDeleted);
    expected_.File(size == 300 ? id : second->info.file_id, content);
  }
  const auto appender = world_->client()->Copy(CreateAppender("an appender"));
  EXPECT_EQ(ReasonOf(appender.status()), ErrorReason::kWrongKind);
}

// ---- Contents that are stored once.

// Bytes that no other test, and no round of this one, has stored.
std::string NewContent(int64_t size) {
  static uint64_t seed = 770'000;
  return ContentOf(seed++, size);
}

TEST_P(ConformanceTest, AContentThatIsThereIsShared) {
  // In a batch, in one piece, as a stream.
  for (const int64_t size : {64 * kKiB, 700 * kKiB, 3 * kMiB + 5}) {
    SCOPED_TRACE(size);
    const std::string content = NewContent(size);
    client::PutOptions options;
    options.store_path = 0;
    options.dedup = true;
    options.durability = world_->Everywhere();
    const auto first = world_->Next()->Put(content, options);
    ASSERT_THAT(first, IsOk());
    EXPECT_FALSE(first->shared);
    EXPECT_EQ(first->info.sha256, Sha256(content));
    expected_.File(first->info.file_id, content);

    // At each member, which has only what it copied.
    std::vector<std::string> ids = {first->info.file_id};
    for (int member = 0; member < world_->members(); ++member) {
      options.request_id = Uuid::Random();
      const auto put = world_->At(member)->Put(content, options);
      ASSERT_THAT(put, IsOk());
      EXPECT_TRUE(put->shared);
      EXPECT_FALSE(put->replayed);
      EXPECT_NE(put->info.file_id, ids.back());
      const auto again = world_->At(member)->Put(content, options);
      ASSERT_THAT(again, IsOk());
      EXPECT_TRUE(again->replayed);
      EXPECT_TRUE(again->shared);
      EXPECT_EQ(again->info.file_id, put->info.file_id);
      EXPECT_EQ(again->info.sha256, put->info.sha256);
      ids.push_back(put->info.file_id);
      expected_.File(ids.back(), content);
    }
    for (int member = 0; member < world_->members(); ++member) {
      for (const std::string& id : ids) {
        const auto info = world_->At(member)->Stat(id);
        ASSERT_THAT(info, IsOk());
        EXPECT_EQ(info->sha256, Sha256(content));
      }
    }

    // Each goes on its own; the first one is one of them.
    client::DeleteOptions purge;
    purge.purge = true;
    ASSERT_THAT(world_->Next()->Delete(ids.front(), purge), IsOk());
    expected_.Gone(ids.front(), ErrorReason::kFileDeleted);
    ASSERT_THAT(world_->Next()->Delete(ids[1]), IsOk());
    ASSERT_THAT(world_->Next()->Undelete(ids[1]), IsOk());
    expected_.Changed(ids[1], content);
    options.request_id = Uuid();
    options.dedup = absl::nullopt;
    const auto plain = world_->Next()->Put(content, options);
    ASSERT_THAT(plain, IsOk());
    EXPECT_FALSE(plain->shared);
    EXPECT_EQ(plain->info.sha256, "");
    expected_.File(plain->info.file_id, content);
  }
}

TEST_P(ConformanceTest, AnUploadInPartsSharesAContentThatIsThere) {
  const std::string content = NewContent(3 * kMiB + 77);
  const std::string path = absl::StrCat(MakeTempFolder("shared"), "/file");
  std::ofstream(path, std::ios::binary) << content;
  client::ResumableOptions options;
  options.part_bytes = kMiB;
  options.streams = 2;
  options.put.store_path = 0;
  options.put.dedup = true;
  options.put.durability = world_->Everywhere();
  for (const bool shared : {false, true}) {
    const auto put = world_->Next()->PutFileResumable(path, options);
    ASSERT_THAT(put, IsOk());
    EXPECT_EQ(put->shared, shared);
    EXPECT_EQ(put->info.sha256, Sha256(content));
    expected_.File(put->info.file_id, content);
  }
}

TEST_P(ConformanceTest, SmallContentsAndAppendersAreNotShared) {
  client::PutOptions options;
  options.store_path = 0;
  options.dedup = true;
  for (const int64_t size : {int64_t{0}, int64_t{1}, 64 * kKiB - 1}) {
    SCOPED_TRACE(size);
    const std::string content = NewContent(size);
    for (int i = 0; i < 2; ++i) {
      const auto put = world_->client()->Put(content, options);
      ASSERT_THAT(put, IsOk());
      EXPECT_FALSE(put->shared);
      EXPECT_EQ(put->info.sha256, "");
      expected_.File(put->info.file_id, content);
    }
  }
  EXPECT_THAT(world_->client()->CreateAppender("grows", options),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(ConformanceTest, TheSameContentAtOnceIsThereEachTime) {
  const std::string content = NewContent(600 * kKiB);
  client::PutOptions options;
  options.store_path = 0;
  options.dedup = true;
  std::vector<std::string> ids(6);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < ids.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto put = world_->At(static_cast<int>(i))->Put(content, options);
      EXPECT_THAT(put, IsOk());
      if (put.ok()) ids[i] = put->info.file_id;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i % 2 == 0) {
      ASSERT_THAT(world_->Next()->Delete(ids[i]), IsOk());
      expected_.Gone(ids[i], ErrorReason::kFileDeleted);
    } else {
      expected_.File(ids[i], content);
    }
  }
}

TEST_P(ConformanceTest, DerivedFilesGoWithTheirMasterIfAsked) {
  for (const bool with_derived : {false, true}) {
    const std::string master = Put("master");
    client::PutOptions options;
    options.derived_from = master;
    options.prefix = "_d";
    options.durability = world_->Everywhere();
    const auto derived = world_->client()->Put("derived", options);
    ASSERT_THAT(derived, IsOk());
    const auto deleted =
        world_->Next()->Delete(master, {.with_derived = with_derived});
    ASSERT_THAT(deleted, IsOk());
    EXPECT_EQ(deleted->derived_deleted, with_derived ? 1U : 0U);
    expected_.Gone(master, ErrorReason::kFileDeleted);
    if (with_derived) {
      expected_.Gone(derived->info.file_id, ErrorReason::kFileDeleted);
    } else {
      expected_.File(derived->info.file_id, "derived");
    }
  }
}

TEST_P(ConformanceTest, ManyMastersGoAtOnceWithWhatIsDerivedFromThem) {
  constexpr int kMasters = 12;
  std::vector<std::string> masters;
  std::vector<std::string> derived;
  for (int i = 0; i < kMasters; ++i) {
    client::PutOptions options;
    options.durability = world_->Everywhere();
    masters.push_back(Put(absl::StrCat("master ", i), options));
    options.derived_from = masters.back();
    for (int j = 0; j < i % 4; ++j) {
      options.prefix = absl::StrCat("_", j);
      // One of them is too large for a batch.
      const std::string content =
          ContentOf(static_cast<uint64_t>(i), j == 2 ? 2 * kMiB : 100);
      derived.push_back(Put(content, options));
      // Nothing is derived from it.
      EXPECT_EQ(ReasonOf(world_->Next()
                             ->Delete(derived.back(), {.with_derived = true})
                             .status()),
                ErrorReason::kWrongKind);
    }
  }
  Mutex mu;
  CondVar ended;
  int left = kMasters;
  uint32_t derived_deleted = 0;
  for (int i = 0; i < kMasters; ++i) {
    client::DeleteOptions options;
    options.with_derived = true;
    options.purge = i % 2 == 0;
    options.durability = world_->Everywhere();
    world_->client()->DeleteAsync(
        masters[i], options, [&](absl::StatusOr<client::DeleteResult> result) {
          EXPECT_THAT(result, IsOk());
          MutexLock lock(&mu);
          if (result.ok()) derived_deleted += result->derived_deleted;
          if (--left == 0) ended.SignalAll();
        });
  }
  {
    MutexLock lock(&mu);
    while (left > 0) ended.Wait(&mu);
    EXPECT_EQ(derived_deleted, derived.size());
  }
  for (const auto* ids : {&masters, &derived}) {
    for (const std::string& id : *ids) {
      expected_.Gone(id, ErrorReason::kFileDeleted);
    }
  }
}

TEST_P(ConformanceTest, ADerivedFileThatWasDeletedIsStoredAnew) {
  Client* const client = world_->client();
  const std::string master = Put("another master");
  client::PutOptions options;
  options.derived_from = master;
  options.prefix = "_x";
  std::string id;
  for (int i = 0; i < 3; ++i) {
    const auto put = client->Put(absl::StrCat("content ", i), options);
    ASSERT_THAT(put, IsOk());
    EXPECT_FALSE(put->replayed);
    id = put->info.file_id;
    if (i < 2) {
      ASSERT_THAT(client->Delete(id), IsOk());
    }
  }
  expected_.Changed(id, "content 2");
}

// A member that has not heard of the file yet deletes it all the same.
TEST_P(ConformanceTest, ADerivedFileIsDeletedAtAnyMember) {
  const std::string master = Put("one more master");
  client::PutOptions options;
  options.derived_from = master;
  for (int i = 0; i < 6; ++i) {
    options.prefix = absl::StrCat("_", i);
    options.durability.replicas = 1;
    const auto put = world_->client()->Put("short-lived", options);
    ASSERT_THAT(put, IsOk());
    ASSERT_THAT(world_->Next()->Delete(put->info.file_id), IsOk());
    expected_.Gone(put->info.file_id, ErrorReason::kFileDeleted);
  }
}

// ---- Which members have a file.

// Stops a process until the end of its life.
class Standstill {
 public:
  explicit Standstill(Daemon* daemon) : daemon_(daemon) {}
  ~Standstill() { End(); }
  Standstill(const Standstill&) = delete;
  Standstill& operator=(const Standstill&) = delete;

  void Begin() { daemon_->process()->Signal(SIGSTOP); }
  void End() { daemon_->process()->Signal(SIGCONT); }

 private:
  Daemon* const daemon_;
};

TEST_P(ConformanceTest, AnUploadInPartsThatWaitsForAMemberIsFinishedOnce) {
  if (world_->members() == 1) GTEST_SKIP() << "there is nobody to wait for";
  const std::string content = ContentOf(43, 3 * kMiB);
  const std::string path = absl::StrCat(MakeTempFolder("parts"), "/file");
  std::ofstream(path, std::ios::binary) << content;
  Standstill standstill(world_->cluster()->storage(2));
  client::ResumableOptions options;
  options.put.durability = world_->Everywhere();
  options.part_bytes = kMiB;
  std::string upload_id;
  options.begun = [&upload_id](const std::string& id) {
    upload_id = id;
    return absl::OkStatus();
  };
  int parts = 0;
  options.part_sent = [&](const client::SentPart&) {
    // All is there: the file is made, and a member does not get it.
    if (++parts == 3) standstill.Begin();
    return absl::OkStatus();
  };
  Client* const client = world_->At(0);
  EXPECT_EQ(ReasonOf(client->PutFileResumable(path, options).status()),
            ErrorReason::kInsufficientReplicas);
  ASSERT_NE(upload_id, "");
  // Who goes on is told the same, and not to begin anew.
  options.resume.upload_id = upload_id;
  EXPECT_EQ(ReasonOf(client->PutFileResumable(path, options).status()),
            ErrorReason::kInsufficientReplicas);
  standstill.End();
  const absl::Time limit = absl::Now() + kProcessDeadline;
  auto put = client->PutFileResumable(path, options);
  while (ReasonOf(put.status()) == ErrorReason::kInsufficientReplicas &&
         absl::Now() < limit) {
    absl::SleepFor(absl::Milliseconds(100));
    put = client->PutFileResumable(path, options);
  }
  ASSERT_THAT(put, IsOk());
  EXPECT_TRUE(put->replayed);
  EXPECT_EQ(put->replicas, static_cast<uint32_t>(world_->members()));
  EXPECT_EQ(put->info.crc32c, Crc32c(content));
  expected_.File(put->info.file_id, content);
}

TEST_P(ConformanceTest, EveryMemberTellsWhichMembersHaveAFile) {
  client::PutOptions options;
  options.durability = world_->Everywhere();
  const std::string content = ContentOf(41, 300 * kKiB);
  const std::string id = Put(content, options);
  expected_.File(id, content);
  std::set<std::string> asked;
  for (int member = 0; member < world_->members(); ++member) {
    const auto info = world_->At(member)->Stat(id, {.include_replicas = true});
    ASSERT_THAT(info, IsOk());
    ASSERT_EQ(info->replicas.size(), static_cast<size_t>(world_->members()));
    asked.insert(info->replicas[0].node_uuid);
    std::set<std::string> named;
    for (const client::Replica& replica : info->replicas) {
      named.insert(replica.node_uuid);
      EXPECT_EQ(replica.state, client::ReplicaState::kCurrent)
          << replica.node_name;
      EXPECT_NE(replica.node_number, 0u);
    }
    EXPECT_EQ(named.size(), info->replicas.size());
  }
  // Each names itself first.
  EXPECT_EQ(asked.size(), static_cast<size_t>(world_->members()));

  const std::string gone = Put("gone");
  ASSERT_THAT(
      world_->client()->Delete(gone, {.durability = world_->Everywhere()}),
      IsOk());
  expected_.Gone(gone, ErrorReason::kFileDeleted);
  EXPECT_THAT(world_->client()->Stat(gone, {.include_replicas = true}),
              StatusIs(absl::StatusCode::kNotFound));
}

// ---- Sealing.

TEST_P(ConformanceTest, ASealedAppenderIsANormalFileWithANewId) {
  Client* const client = world_->client();
  const auto created =
      client->CreateAppender("begun", {.attributes = {{"k", "v"}}});
  ASSERT_THAT(created, IsOk());
  const std::string old_id = created->info.file_id;
  const std::string more = ContentOf(37, 700 * kKiB);
  ASSERT_THAT(client->Append(old_id, more), IsOk());
  client::UpdateOptions options;
  options.request_id = Uuid::Random();
  options.if_size_bytes = 5 + 700 * kKiB;
  const auto sealed = client->Seal(old_id, options);
  ASSERT_THAT(sealed, IsOk());
  const std::string new_id = sealed->info.file_id;
  EXPECT_NE(new_id, old_id);
  EXPECT_TRUE(sealed->info.kind == client::FileKind::kNormal);
  EXPECT_EQ(sealed->info.crc32c, Crc32c("begun" + more));
  const auto again = client->Seal(old_id, options);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->info.file_id, new_id);
  const auto append = client->Append(old_id, "late");
  EXPECT_THAT(append, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(ReasonOf(append.status()), ErrorReason::kFileSealed);
  EXPECT_EQ(MetadataOf(append.status())["file_id"], new_id);
  expected_.Gone(old_id, ErrorReason::kFileSealed);
  expected_.File(new_id, "begun" + more, Attributes{{"k", "v"}});

  const std::string normal = Put("normal");
  EXPECT_EQ(ReasonOf(client->Seal(normal).status()),
            ErrorReason::kNotAnAppender);
}

}  // namespace
}  // namespace testing
}  // namespace cairn
