// The client against a storage that speaks the real protocol and misbehaves:
// what is stored comes back, once, whatever breaks on the way.

#include "clients/cpp/client.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clients/cpp/testing/fake_storage.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace client {
namespace {

using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;

std::unique_ptr<Client> ConnectTo(const FakeStorage& storage,
                                  ClientOptions options = {}) {
  options.storage = storage.address();
  options.backoff = absl::Milliseconds(5);
  options.backoff_max = absl::Milliseconds(50);
  absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Connect(std::move(options));
  EXPECT_THAT(client, IsOk());
  return *std::move(client);
}

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  uint32_t x = 1;
  for (char& byte : bytes) {
    x = x * 1664525 + 1013904223;
    byte = static_cast<char>(x >> 24);
  }
  return bytes;
}

std::string TestDir() {
  static std::atomic<int> count{0};
  const std::string dir = absl::StrCat(::testing::TempDir(), "/client_test.",
                                       getpid(), ".", count.fetch_add(1));
  std::filesystem::create_directories(dir);
  return dir;
}

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream content;
  content << in.rdbuf();
  return content.str();
}

std::vector<std::string> NamesIn(const std::string& dir) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

absl::Status Refused() { return absl::UnavailableError("from the test"); }

// ---- What is stored comes back.

class SizesTest : public ::testing::TestWithParam<size_t> {};

TEST_P(SizesTest, WhatIsPutIsGot) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string content = Pattern(GetParam());

  const absl::StatusOr<PutResult> put =
      client->Put(content, {.extension = "bin"});
  ASSERT_THAT(put, IsOk());
  EXPECT_EQ(put->info.size_bytes, static_cast<int64_t>(content.size()));
  EXPECT_EQ(put->info.crc32c, Crc32c(content));
  EXPECT_EQ(put->level, DurabilityLevel::kSynced);
  EXPECT_EQ(put->replicas, 1);
  EXPECT_FALSE(put->replayed);
  EXPECT_EQ(storage.ContentOf(put->info.file_id), content);

  const absl::StatusOr<GetResult> get = client->Get(put->info.file_id);
  ASSERT_THAT(get, IsOk());
  EXPECT_EQ(std::string(get->content), content);
  EXPECT_EQ(get->info.file_id, put->info.file_id);

  const absl::StatusOr<FileInfo> stat = client->Stat(put->info.file_id);
  ASSERT_THAT(stat, IsOk());
  EXPECT_EQ(stat->size_bytes, put->info.size_bytes);
  EXPECT_EQ(stat->origin_node, storage.options().node_number);

  ASSERT_THAT(client->Delete(put->info.file_id), IsOk());
  EXPECT_FALSE(storage.Has(put->info.file_id));
  EXPECT_THAT(client->Get(put->info.file_id),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(client->Stat(put->info.file_id),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(SizesTest, ADeletionIsTakenBackUntilItIsPurged) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string content = Pattern(GetParam());
  const absl::StatusOr<PutResult> put = client->Put(content);
  ASSERT_THAT(put, IsOk());
  const std::string id = put->info.file_id;
  EXPECT_EQ(ReasonOf(client->Undelete(id).status()), ErrorReason::kFileExists);

  const absl::StatusOr<DeleteResult> deleted = client->Delete(id);
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(deleted->undelete_until, absl::FromUnixSeconds(4000000000));
  storage.FailNext(1, absl::UnavailableError("later"));
  UndeleteOptions options;
  options.request_id = Uuid::Random();
  const absl::StatusOr<UndeleteResult> back = client->Undelete(id, options);
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->info.file_id, id);
  EXPECT_GT(back->info.version_clock, put->info.version_clock);
  EXPECT_EQ(back->replicas, 1u);
  EXPECT_FALSE(back->replayed);
  EXPECT_TRUE(client->Undelete(id, options)->replayed);
  EXPECT_EQ(std::string(client->Get(id)->content), content);

  ASSERT_THAT(client->Delete(id, {.with_derived = true}), IsOk());
  ASSERT_THAT(client->Undelete(id), IsOk());
  ASSERT_THAT(client->Delete(id), IsOk());
  const absl::StatusOr<DeleteResult> purged =
      client->Delete(id, {.purge = true});
  ASSERT_THAT(purged, IsOk());
  EXPECT_EQ(purged->undelete_until, absl::nullopt);
  EXPECT_EQ(ReasonOf(client->Undelete(id).status()), ErrorReason::kFileDeleted);
  EXPECT_EQ(ReasonOf(client->Delete(id, {.purge = true}).status()),
            ErrorReason::kFileDeleted);

  const std::string other = client->Put(content)->info.file_id;
  const absl::StatusOr<DeleteResult> gone =
      client->Delete(other, {.with_derived = true, .purge = true});
  ASSERT_THAT(gone, IsOk());
  EXPECT_EQ(gone->undelete_until, absl::nullopt);
  EXPECT_EQ(ReasonOf(client->Undelete(other).status()),
            ErrorReason::kFileDeleted);
}

TEST(ClientTest, WhatIsDerivedGoesWithItsMaster) {
  // Also at a node that deletes the file alone when a batch says so.
  for (const bool old : {false, true}) {
    FakeStorage storage;
    if (old) storage.IgnoreDerivedInBatches();
    const std::unique_ptr<Client> client = ConnectTo(storage);
    for (const bool purge : {false, true}) {
      const std::string id = client->Put("master")->info.file_id;
      for (const char* prefix : {"_a", "_b"}) {
        ASSERT_THAT(client->Put("d", {.derived_from = id, .prefix = prefix}),
                    IsOk());
      }
      DeleteOptions options{.with_derived = true, .purge = purge};
      options.request_id = Uuid::Random();
      const absl::StatusOr<DeleteResult> deleted = client->Delete(id, options);
      ASSERT_THAT(deleted, IsOk());
      EXPECT_EQ(deleted->derived_deleted, 2u);
      EXPECT_FALSE(deleted->replayed);
      EXPECT_EQ(deleted->replicas, 1u);
      EXPECT_EQ(deleted->undelete_until.has_value(), !purge);
      EXPECT_EQ(storage.files(), 0u);
      const absl::StatusOr<DeleteResult> again = client->Delete(id, options);
      ASSERT_THAT(again, IsOk());
      EXPECT_EQ(again->derived_deleted, 0u);
      EXPECT_TRUE(again->replayed);

      // The master need not be there.
      ASSERT_THAT(client->Put("d", {.derived_from = id, .prefix = "_c"}),
                  IsOk());
      EXPECT_EQ(ReasonOf(client->Delete(id, {.with_derived = true}).status()),
                ErrorReason::kFileDeleted);
      EXPECT_EQ(storage.files(), 0u);
    }
  }
}

TEST_P(SizesTest, AFileSaysWhenItExpires) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const absl::Time end = absl::FromUnixSeconds(4000000000);
  const absl::StatusOr<PutResult> put =
      client->Put(Pattern(GetParam()), {.lifetime = {.expire_time = end}});
  ASSERT_THAT(put, IsOk());
  EXPECT_EQ(put->info.expire_time, end);
  const std::string id = put->info.file_id;
  EXPECT_EQ(client->Stat(id)->expire_time, end);
  EXPECT_EQ(client->Get(id)->info.expire_time, end);
  EXPECT_EQ(client->Put(Pattern(GetParam()))->info.expire_time, absl::nullopt);

  const absl::Time before = absl::Now();
  const absl::StatusOr<SetExpiryResult> set =
      client->SetExpiry(id, {.time_to_live = absl::Hours(2)});
  ASSERT_THAT(set, IsOk());
  EXPECT_EQ(set->info.file_id, id);
  EXPECT_GT(set->info.version_clock, put->info.version_clock);
  EXPECT_EQ(set->replicas, 1u);
  EXPECT_GE(*client->Stat(id)->expire_time, before + absl::Hours(2));

  // As if it had passed.
  storage.FailNext(1, absl::UnavailableError("later"));
  SetExpiryOptions options;
  options.request_id = Uuid::Random();
  ASSERT_THAT(client->SetExpiry(
                  id, {.expire_time = absl::UnixEpoch() + absl::Nanoseconds(1)},
                  options),
              IsOk());
  EXPECT_EQ(ReasonOf(client->Stat(id).status()), ErrorReason::kFileExpired);
  EXPECT_EQ(ReasonOf(client->Get(id).status()), ErrorReason::kFileExpired);
  EXPECT_EQ(ReasonOf(client->SetExpiry(id, {}).status()),
            ErrorReason::kFileExpired);
}

TEST_P(SizesTest, ACopyIsMadeOnceHoweverOftenItIsSent) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const absl::StatusOr<PutResult> put = client->Put(
      Pattern(GetParam()), {.extension = "bin", .attributes = {{"a", "1"}}});
  ASSERT_THAT(put, IsOk());
  storage.FailNext(1, absl::UnavailableError("later"));
  CopyOptions options;
  options.request_id = Uuid::Random();
  const absl::StatusOr<CopyResult> copied =
      client->Copy(put->info.file_id, options);
  ASSERT_THAT(copied, IsOk());
  EXPECT_TRUE(copied->shared);
  EXPECT_EQ(copied->replicas, 1u);
  EXPECT_NE(copied->info.file_id, put->info.file_id);
  EXPECT_EQ(client->Get(copied->info.file_id)->content, Pattern(GetParam()));
  EXPECT_EQ(client->Stat(copied->info.file_id, {.include_attributes = true})
                ->attributes,
            (Attributes{{"a", "1"}}));
  const absl::StatusOr<CopyResult> again =
      client->Copy(put->info.file_id, options);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->info.file_id, copied->info.file_id);

  options = CopyOptions();
  options.attributes.emplace();
  options.lifetime.time_to_live = absl::Hours(2);
  const absl::StatusOr<CopyResult> other =
      client->Copy(put->info.file_id, options);
  ASSERT_THAT(other, IsOk());
  EXPECT_TRUE(other->info.expire_time.has_value());
  EXPECT_EQ(client->Stat(other->info.file_id, {.include_attributes = true})
                ->attributes,
            Attributes());

  options.extension = "no/extension";
  EXPECT_EQ(client->Copy(put->info.file_id, options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(SizesTest, StatTellsWhichMembersHaveTheFileIfAsked) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const absl::StatusOr<PutResult> put =
      client->Put(Pattern(GetParam()), {.attributes = {{"k", "v"}}});
  ASSERT_THAT(put, IsOk());
  const absl::StatusOr<FileInfo> info =
      client->Stat(put->info.file_id,
                   {.include_attributes = true, .include_replicas = true});
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->file_id, put->info.file_id);
  EXPECT_EQ(info->size_bytes, put->info.size_bytes);
  EXPECT_EQ(info->attributes, (Attributes{{"k", "v"}}));
  ASSERT_EQ(info->replicas.size(), 2u);
  EXPECT_EQ(info->replicas[0].node_name, "storage-a");
  EXPECT_EQ(info->replicas[0].node_number, 7u);
  EXPECT_EQ(info->replicas[0].state, ReplicaState::kCurrent);
  EXPECT_EQ(info->replicas[1].node_uuid, "b");
  EXPECT_EQ(info->replicas[1].node_number, 0u);
  EXPECT_EQ(info->replicas[1].state, ReplicaState::kUnreachable);
  EXPECT_EQ(
      ReasonOf(client->Stat("nonsense", {.include_replicas = true}).status()),
      ErrorReason::kInvalidFileId);
}

TEST_P(SizesTest, AttributesGoWithTheFileAndComeWhenAskedFor) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const Attributes attributes = {{"a", std::string("\0\xff", 2)}, {"b", ""}};
  const absl::StatusOr<PutResult> put =
      client->Put(Pattern(GetParam()), {.attributes = attributes});
  ASSERT_THAT(put, IsOk());
  const std::string id = put->info.file_id;
  EXPECT_EQ(client->Stat(id)->attributes, Attributes());
  EXPECT_EQ(client->Stat(id, {.include_attributes = true})->attributes,
            attributes);
  EXPECT_TRUE(client->Stat(id)->replicas.empty());
  EXPECT_EQ(client->Get(id)->info.attributes, Attributes());
  EXPECT_EQ(client->Get(id, {.include_attributes = true})->info.attributes,
            attributes);

  AttributeChange change;
  change.set = {{"c", "3"}};
  change.remove = {"a"};
  const absl::StatusOr<SetAttributesResult> merged =
      client->SetAttributes(id, change);
  ASSERT_THAT(merged, IsOk());
  EXPECT_EQ(merged->info.file_id, id);
  EXPECT_GT(merged->info.version_clock, put->info.version_clock);
  EXPECT_EQ(merged->replicas, 1);
  EXPECT_EQ(client->Stat(id, {.include_attributes = true})->attributes,
            (Attributes{{"b", ""}, {"c", "3"}}));
  // What the caller has not seen is not overwritten.
  change = AttributeChange();
  change.overwrite = true;
  EXPECT_EQ(ReasonOf(client
                         ->SetAttributes(id, change,
                                         {.if_version_match = std::make_pair(
                                              put->info.version_clock,
                                              put->info.version_node)})
                         .status()),
            ErrorReason::kVersionMismatch);
  ASSERT_THAT(client->SetAttributes(
                  id, change,
                  {.if_version_match = std::make_pair(
                       merged->info.version_clock, merged->info.version_node)}),
              IsOk());
  EXPECT_EQ(client->Stat(id, {.include_attributes = true})->attributes,
            Attributes());
  EXPECT_EQ(std::string(client->Get(id)->content), Pattern(GetParam()));
}

TEST_P(SizesTest, CordsFilesAndReadersAreStoredAlike) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string content = Pattern(GetParam());
  const std::string dir = TestDir();
  WriteFile(dir + "/in", content);

  absl::Cord cord;
  for (size_t at = 0; at < content.size(); at += 10000) {
    cord.Append(content.substr(at, 10000));
  }
  const absl::StatusOr<PutResult> of_cord = client->Put(cord);
  ASSERT_THAT(of_cord, IsOk());
  EXPECT_EQ(storage.ContentOf(of_cord->info.file_id), content);

  int64_t progress = -1;
  const absl::StatusOr<PutResult> of_file = client->PutFile(
      dir + "/in",
      {.progress = [&](int64_t done, auto total) { progress = done; }});
  ASSERT_THAT(of_file, IsOk());
  EXPECT_EQ(storage.ContentOf(of_file->info.file_id), content);
  EXPECT_EQ(progress, static_cast<int64_t>(content.size()));

  // A reader that gives little at a time and does not know its length.
  class Dribble : public ContentReader {
   public:
    explicit Dribble(const std::string& content) : content_(content) {}
    absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
      size = std::min({size, content_.size() - at_, size_t{70001}});
      content_.copy(buffer, size, at_);
      at_ += size;
      return size;
    }

   private:
    const std::string& content_;
    size_t at_ = 0;
  };
  Dribble reader(content);
  const absl::StatusOr<PutResult> of_reader =
      client->PutFrom(&reader, absl::nullopt);
  ASSERT_THAT(of_reader, IsOk());
  EXPECT_EQ(storage.ContentOf(of_reader->info.file_id), content);

  const absl::StatusOr<FileInfo> info =
      client->GetToFile(of_file->info.file_id, dir + "/out");
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(ReadFile(dir + "/out"), content);
  EXPECT_EQ(NamesIn(dir).size(), 2);
}

TEST_P(SizesTest, EveryRangeIsWhatItSays) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string content = Pattern(GetParam());
  const std::string id = storage.Add(content);
  const auto size = static_cast<int64_t>(content.size());
  for (const int64_t offset : {int64_t{0}, size / 3, size}) {
    for (const absl::optional<int64_t> length :
         {absl::optional<int64_t>(), absl::optional<int64_t>(0),
          absl::optional<int64_t>(size / 2),
          absl::optional<int64_t>(size + 10)}) {
      const absl::StatusOr<GetResult> get =
          client->Get(id, {.offset = offset, .length = length});
      ASSERT_THAT(get, IsOk());
      EXPECT_EQ(std::string(get->content),
                content.substr(static_cast<size_t>(offset),
                               static_cast<size_t>(length.value_or(size))));
    }
  }
  EXPECT_THAT(client->Get(id, {.offset = size + 1}),
              StatusIs(absl::StatusCode::kOutOfRange));
}

// Round the limits of small files, of chunks and of the window.
INSTANTIATE_TEST_SUITE_P(Sizes, SizesTest,
                         ::testing::Values(0, 1, 4096, 256 << 10,
                                           (256 << 10) + 1, 512 << 10, 1 << 20,
                                           5000001));

// ---- Failures on the way.

TEST(ClientTest, WhatIsUnavailableIsRepeatedUntilItIsThere) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string id = storage.Add("content");

  storage.FailNext(3, Refused());
  EXPECT_THAT(client->Put("new"), IsOk());
  storage.FailNext(3, Refused());
  EXPECT_THAT(client->Get(id), IsOk());
  storage.FailNext(3, Refused());
  EXPECT_THAT(client->Stat(id), IsOk());
  storage.FailNext(3, Refused());
  EXPECT_THAT(client->Delete(id), IsOk());
  storage.FailNext(3, Refused());
  EXPECT_THAT(client->Put(Pattern(600000)), IsOk());
  EXPECT_EQ(storage.operations(), 5 * 4);
  EXPECT_EQ(storage.stores(), 3);
}

TEST(ClientTest, GivesUpAfterItsAttemptsWithTheLastFailure) {
  FakeStorage storage;
  const std::unique_ptr<Client> client =
      ConnectTo(storage, {.attempts_max = 3});
  storage.FailNext(1000, Refused());
  EXPECT_THAT(client->Put("x"), StatusIs(absl::StatusCode::kUnavailable,
                                         HasSubstr("from the test")));
  EXPECT_EQ(storage.operations(), 3);
  EXPECT_THAT(client->Put(Pattern(600000)),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(storage.operations(), 6);
}

TEST(ClientTest, WhatIsFinalIsNotRepeated) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  storage.FailNext(1, ErrorWithReason(absl::StatusCode::kResourceExhausted,
                                      ErrorReason::kDiskFull, "full"));
  const absl::StatusOr<PutResult> put = client->Put("x");
  EXPECT_THAT(put, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(put.status()), ErrorReason::kDiskFull);
  EXPECT_EQ(storage.operations(), 1);
}

TEST(ClientTest, ALostAnswerToAChangeMakesNoSecondChange) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  storage.LoseAnswers(2);
  const absl::StatusOr<PutResult> put = client->Put("once");
  ASSERT_THAT(put, IsOk());
  EXPECT_TRUE(put->replayed);
  EXPECT_EQ(storage.stores(), 1);
  EXPECT_EQ(storage.files(), 1);

  storage.LoseAnswers(2);
  const absl::StatusOr<DeleteResult> deleted =
      client->Delete(put->info.file_id);
  ASSERT_THAT(deleted, IsOk());
  EXPECT_TRUE(deleted->replayed);
}

TEST(ClientTest, ALostAnswerToAChangeOfAttributesMakesNoSecondChange) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string id = storage.Add("content");
  AttributeChange change;
  change.set = {{"a", "1"}};
  storage.LoseAnswers(2);
  const absl::StatusOr<SetAttributesResult> set =
      client->SetAttributes(id, change);
  ASSERT_THAT(set, IsOk());
  EXPECT_TRUE(set->replayed);
  EXPECT_EQ(storage.attribute_changes(), 1);
}

TEST(ClientTest, AttributesBeyondTheLimitsAreRefusedWithoutANode) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string id = storage.Add("content");
  const Attributes bad = {{"k", std::string(kAttributeValueBytesMax + 1, 'v')}};
  EXPECT_EQ(ReasonOf(client->Put("x", {.attributes = bad}).status()),
            ErrorReason::kTooLarge);
  AttributeChange change;
  change.set = bad;
  EXPECT_EQ(ReasonOf(client->SetAttributes(id, change).status()),
            ErrorReason::kTooLarge);
  EXPECT_EQ(storage.operations(), 0);
}

TEST(ClientTest, ARequestIdOfTheCallerMakesTwoPutsOne) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  for (const size_t size : {size_t{10}, size_t{600000}}) {
    const std::string content = Pattern(size);
    const Uuid request_id = Uuid::Random();
    const absl::StatusOr<PutResult> first =
        client->Put(content, {.request_id = request_id});
    const absl::StatusOr<PutResult> second =
        client->Put(content, {.request_id = request_id});
    ASSERT_THAT(first, IsOk());
    ASSERT_THAT(second, IsOk());
    EXPECT_EQ(first->info.file_id, second->info.file_id);
    EXPECT_TRUE(second->replayed);
  }
  EXPECT_EQ(storage.files(), 2);
}

TEST(ClientTest, ADerivedFileHasItsOwnContent) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string master = storage.Add(Pattern(10));
  for (const size_t size : {size_t{0}, size_t{1000}, size_t{3 << 20}}) {
    SCOPED_TRACE(size);
    const std::string content = Pattern(size);
    const PutOptions options = {.extension = "webp",
                                .derived_from = master,
                                .prefix = absl::StrCat("_", size)};
    const absl::StatusOr<PutResult> put = client->Put(content, options);
    ASSERT_THAT(put, IsOk());
    EXPECT_EQ(put->info.file_id,
              *DerivedFileId(master, options.prefix, "webp"));
    EXPECT_EQ(put->info.kind, FileKind::kDerived);
    const absl::StatusOr<GetResult> got = client->Get(put->info.file_id);
    ASSERT_THAT(got, IsOk());
    EXPECT_TRUE(got->content == content);
    const absl::StatusOr<PutResult> again = client->Put(content, options);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(ReasonOf(client->Put(content + "x", options).status()),
              ErrorReason::kFileExists);
  }
}

TEST(ClientTest, WhatCannotBeDerivedIsRefusedWithoutANode) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string master = storage.Add("m");
  const auto code = [&](const PutOptions& options) {
    return client->Put("x", options).status().code();
  };
  EXPECT_EQ(code({.prefix = "_x"}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.derived_from = master}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.derived_from = "m", .prefix = "_x"}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.group = "g", .derived_from = master, .prefix = "_x"}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.store_path = 1, .derived_from = master, .prefix = "_x"}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      ReasonOf(client
                   ->Put("x", {.derived_from = *DerivedFileId(master, "_y", ""),
                               .prefix = "_x"})
                   .status()),
      ErrorReason::kWrongKind);
  EXPECT_EQ(
      client->CreateAppender("x", {.derived_from = master, .prefix = "_x"})
          .status()
          .code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(storage.operations(), 0);
}

TEST(ClientTest, ANodeThatRestartsIsWaitedFor) {
  FakeStorage storage;
  ClientOptions options;
  options.attempts_max = 1000;
  const std::unique_ptr<Client> client = ConnectTo(storage, options);
  ASSERT_THAT(client->Put("before"), IsOk());
  storage.Kill();
  absl::StatusOr<PutResult> small;
  absl::StatusOr<PutResult> large;
  std::thread small_caller([&] { small = client->Put("while it was away"); });
  std::thread large_caller([&] { large = client->Put(Pattern(700000)); });
  storage.Restart();
  small_caller.join();
  large_caller.join();
  EXPECT_THAT(small, IsOk());
  EXPECT_THAT(large, IsOk());
  EXPECT_EQ(storage.files(), 3);
}

TEST(ClientTest, ADeadNodeIsUnavailableWithItsAddress) {
  FakeStorage storage;
  const std::unique_ptr<Client> client =
      ConnectTo(storage, {.attempts_max = 3});
  storage.Kill();
  const absl::StatusOr<FileInfo> stat = client->Stat(storage.Add("x"));
  EXPECT_THAT(stat, StatusIs(absl::StatusCode::kUnavailable,
                             HasSubstr(storage.address())));
}

TEST(ClientTest, TheDeadlineHoldsWhileTheNodeIsSilent) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  storage.Hold();
  const absl::StatusOr<PutResult> put =
      client->Put("x", {.timeout = absl::Milliseconds(30)});
  EXPECT_THAT(put, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(ReasonOf(put.status()), ErrorReason::kDeadline);
  storage.Release();
  // The late answer hurts nobody.
  EXPECT_THAT(client->Put("y"), IsOk());
}

TEST(ClientTest, TheDeadlineHoldsWhileItIsRepeated) {
  FakeStorage storage;
  ClientOptions options;
  options.attempts_max = 1000000;
  const std::unique_ptr<Client> client = ConnectTo(storage, options);
  storage.FailNext(1000000, Refused());
  EXPECT_THAT(client->Put("x", {.timeout = absl::Milliseconds(50)}),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(client->Put(Pattern(600000), {.timeout = absl::Milliseconds(50)}),
              StatusIs(absl::StatusCode::kUnavailable));
}

// ---- Bytes that change on the way.

TEST(ClientTest, ContentThatIsDamagedOnItsWayIsReadAgain) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  for (const size_t size : {size_t{1000}, size_t{3000000}}) {
    const std::string content = Pattern(size);
    const std::string id = storage.Add(content);
    storage.CorruptReads(1);
    const absl::StatusOr<GetResult> get = client->Get(id);
    ASSERT_THAT(get, IsOk());
    EXPECT_EQ(std::string(get->content), content);

    storage.CorruptReads(1000);
    const absl::StatusOr<GetResult> bad = client->Get(id);
    EXPECT_THAT(bad, StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_EQ(ReasonOf(bad.status()), ErrorReason::kChecksumMismatch);
    storage.CorruptReads(0);
  }
}

TEST(ClientTest, ContentThatIsNotWhatWasStoredIsNeverReturned) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string dir = TestDir();
  for (const size_t size : {size_t{1000}, size_t{3000000}}) {
    // Its chunks have the right CRCs: only the file's own gives it away.
    const std::string id = storage.Add(Pattern(size));
    storage.Damage(id);
    EXPECT_THAT(client->Get(id), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(client->GetToFile(id, dir + "/out"),
                StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(NamesIn(dir), ElementsAre());
  }
}

TEST(ClientTest, ContentThatArrivesDamagedIsSentAgainOnce) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  for (const size_t size : {size_t{1000}, size_t{3000000}}) {
    const std::string content = Pattern(size);
    storage.CorruptArrivals(1);
    const absl::StatusOr<PutResult> put = client->Put(content);
    ASSERT_THAT(put, IsOk());
    EXPECT_EQ(storage.ContentOf(put->info.file_id), content);
    storage.CorruptArrivals(1000);
    EXPECT_THAT(client->Put(content),
                StatusIs(absl::StatusCode::kInvalidArgument));
    storage.CorruptArrivals(0);
  }
}

TEST(ClientTest, AnAnswerOfOtherContentIsNoSuccess) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  storage.CorruptPutAnswers(1000);
  EXPECT_THAT(client->Put("x"), StatusIs(absl::StatusCode::kDataLoss));
}

// ---- Transfers that break.

TEST(ClientTest, ABrokenDownloadGoesOnWhereItStood) {
  FakeStorage storage;
  ClientOptions options;
  options.chunk_bytes = 64 << 10;
  options.attempts_max = 2;
  const std::unique_ptr<Client> client = ConnectTo(storage, options);
  const std::string content = Pattern(10 * (64 << 10));
  const std::string id = storage.Add(content);
  storage.CutDownloads(3, 3 * (64 << 10));
  const absl::StatusOr<GetResult> get = client->Get(id);
  ASSERT_THAT(get, IsOk());
  EXPECT_EQ(std::string(get->content), content);
  const std::vector<int64_t> offsets = storage.download_offsets();
  ASSERT_EQ(offsets.size(), 4);
  for (size_t i = 1; i < offsets.size(); ++i) {
    EXPECT_EQ(offsets[i], static_cast<int64_t>(i) * 3 * (64 << 10));
  }
}

TEST(ClientTest, ADownloadThatStandsStillIsTakenUpAgain) {
  FakeStorage storage;
  ClientOptions options;
  options.chunk_bytes = 64 << 10;
  options.stall_timeout = absl::Milliseconds(200);
  const std::unique_ptr<Client> client = ConnectTo(storage, options);
  const std::string content = Pattern(1000000);
  const std::string id = storage.Add(content);
  storage.StallDownloads(1, 128 << 10);
  const absl::StatusOr<GetResult> get = client->Get(id);
  ASSERT_THAT(get, IsOk());
  EXPECT_EQ(std::string(get->content), content);
  EXPECT_THAT(storage.download_offsets(), ElementsAre(0, 128 << 10));
}

TEST(ClientTest, ABrokenDownloadLeavesTheOldFileAlone) {
  FakeStorage storage;
  const std::unique_ptr<Client> client =
      ConnectTo(storage, {.attempts_max = 2});
  const std::string dir = TestDir();
  WriteFile(dir + "/file", "old");
  const std::string id = storage.Add(Pattern(3000000));
  storage.CutDownloads(1000, 0);
  EXPECT_THAT(client->GetToFile(id, dir + "/file"),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ReadFile(dir + "/file"), "old");
  EXPECT_THAT(NamesIn(dir), ElementsAre("file"));
  storage.CutDownloads(0, 0);
  ASSERT_THAT(client->GetToFile(id, dir + "/file"), IsOk());
  EXPECT_EQ(ReadFile(dir + "/file"), Pattern(3000000));
  EXPECT_THAT(NamesIn(dir), ElementsAre("file"));
}

TEST(ClientTest, ABrokenUploadBeginsAgain) {
  FakeStorage storage;
  ClientOptions options;
  options.chunk_bytes = 64 << 10;
  const std::unique_ptr<Client> client = ConnectTo(storage, options);
  const std::string content = Pattern(2000000);
  storage.CutUploads(2, 500000);
  const std::string path = TestDir() + "/in";
  WriteFile(path, content);
  const absl::StatusOr<PutResult> put = client->PutFile(path);
  ASSERT_THAT(put, IsOk());
  EXPECT_EQ(storage.ContentOf(put->info.file_id), content);
  EXPECT_EQ(storage.uploads(), 3);
  EXPECT_EQ(storage.stores(), 1);
}

TEST(ClientTest, AnUploadWhoseSourceIsUsedUpFailsAndSaysSo) {
  class Zeros : public ContentReader {
   public:
    absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
      size = std::min(size, left_);
      std::fill(buffer, buffer + size, '\0');
      left_ -= size;
      return size;
    }

   private:
    size_t left_ = 2000000;
  };
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  storage.CutUploads(1, 500000);
  Zeros reader;
  EXPECT_THAT(client->PutFrom(&reader, absl::nullopt),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("cannot be read a second time")));
}

TEST(ClientTest, ASourceOfAnotherLengthIsRefused) {
  class Text : public ContentReader {
   public:
    absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
      size = std::min<size_t>(size, left_);
      std::fill(buffer, buffer + size, 't');
      left_ -= size;
      return size;
    }
    bool Rewind() override {
      left_ = 700000;
      return true;
    }

   private:
    size_t left_ = 700000;
  };
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  for (const int64_t claimed : {int64_t{10}, int64_t{800000}}) {
    Text reader;
    const absl::StatusOr<PutResult> put = client->PutFrom(&reader, claimed);
    EXPECT_THAT(put, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_EQ(ReasonOf(put.status()), ErrorReason::kSizeMismatch);
  }
  EXPECT_EQ(storage.files(), 0);
}

TEST(ClientTest, ASinkThatRefusesEndsTheDownloadWithItsError) {
  class Full : public ContentSink {
   public:
    absl::Status Write(const absl::Cord& data) override {
      return absl::ResourceExhaustedError("the sink is full");
    }
  };
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  for (const size_t size : {size_t{1000}, size_t{3000000}}) {
    Full sink;
    EXPECT_THAT(client->GetTo(storage.Add(Pattern(size)), &sink),
                StatusIs(absl::StatusCode::kResourceExhausted,
                         HasSubstr("the sink is full")));
  }
}

// ---- Many at a time.

TEST(ClientTest, ALoneCallLeavesAtOnceAndAlone) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  for (int i = 0; i < 20; ++i) ASSERT_THAT(client->Put("lone"), IsOk());
  EXPECT_EQ(storage.batch_message_items(), std::vector<size_t>(20, 1));
  EXPECT_EQ(storage.batch_streams(), 1);
}

TEST(ClientTest, OperationsThatWaitTogetherShareMessages) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  // Each callback starts the next operation: those of one message gather.
  constexpr int kInFlight = 32;
  constexpr int kTotal = 2000;
  std::atomic<int> started{0};
  std::atomic<int> failed{0};
  Mutex mu;
  CondVar finished;
  int done = 0;
  std::function<void()> start = [&] {
    if (started.fetch_add(1) >= kTotal) return;
    client->PutAsync(absl::Cord("some content"), {},
                     [&](absl::StatusOr<PutResult> put) {
                       if (!put.ok()) failed.fetch_add(1);
                       start();
                       MutexLock lock(&mu);
                       if (++done == kTotal) finished.SignalAll();
                     });
  };
  for (int i = 0; i < kInFlight; ++i) start();
  {
    MutexLock lock(&mu);
    while (done < kTotal) finished.Wait(&mu);
  }
  EXPECT_EQ(failed.load(), 0);
  EXPECT_EQ(storage.files(), kTotal);
  EXPECT_LT(storage.batch_message_items().size(), kTotal / 2);
}

TEST(ClientTest, AMessageIsBoundedInItemsAndBytes) {
  FakeStorage storage;
  ClientOptions options;
  options.batch_items_max = 8;
  options.batch_bytes_max = 50000;
  const std::unique_ptr<Client> client = ConnectTo(storage, options);
  ASSERT_THAT(client->Put("warm up"), IsOk());
  std::atomic<int> left{400};
  Notification all;
  const auto done = [&](absl::StatusOr<PutResult> put) {
    EXPECT_THAT(put, IsOk());
    if (left.fetch_sub(1) == 1) all.Notify();
  };
  for (int i = 0; i < 200; ++i) {
    client->PutAsync(absl::Cord("small"), {}, done);
    client->PutAsync(absl::Cord(std::string(20000, 'x')), {}, done);
  }
  all.WaitForNotification();
  for (const size_t items : storage.batch_message_items()) EXPECT_LE(items, 8);
}

TEST(ClientTest, ManyThreadsGetEachTheirOwnAnswer) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string content = absl::StrCat("thread ", t, " file ", i);
        const absl::StatusOr<PutResult> put = client->Put(content);
        if (!put.ok()) {
          ++wrong;
          continue;
        }
        const absl::StatusOr<GetResult> get = client->Get(put->info.file_id);
        if (!get.ok() || std::string(get->content) != content) ++wrong;
        if (i % 2 == 0 && !client->Delete(put->info.file_id).ok()) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(storage.files(), 16 * 25);
}

TEST(ClientTest, NothingIsLostWhenStreamsBreakUnderManyThreads) {
  FakeStorage storage;
  ClientOptions options;
  options.attempts_max = 1000;
  const std::unique_ptr<Client> client = ConnectTo(storage, options);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        if (i % 10 == 5) storage.LoseAnswers(1);
        const absl::StatusOr<PutResult> put =
            client->Put(absl::StrCat(t, "/", i));
        if (!put.ok()) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  // Every put once, though many were sent twice.
  EXPECT_EQ(storage.stores(), 8 * 50);
  EXPECT_GT(storage.batch_streams(), 1);
}

TEST(ClientTest, TooMuchAtOnceIsRefusedAtOnce) {
  FakeStorage storage;
  ClientOptions options;
  options.waiting_operations_max = 10;
  options.batch_items_max = 1;
  const std::unique_ptr<Client> client = ConnectTo(storage, options);
  storage.Hold();
  std::atomic<int> refused{0};
  std::atomic<int> left{5000};
  Notification all;
  for (int i = 0; i < 5000; ++i) {
    client->PutAsync(absl::Cord("x"), {}, [&](absl::StatusOr<PutResult> put) {
      if (put.status().code() == absl::StatusCode::kResourceExhausted &&
          ReasonOf(put.status()) == ErrorReason::kOverloaded) {
        refused.fetch_add(1);
      } else {
        EXPECT_THAT(put, IsOk());
      }
      if (left.fetch_sub(1) == 1) all.Notify();
    });
  }
  storage.Release();
  all.WaitForNotification();
  EXPECT_THAT(refused.load(), Gt(0));
  EXPECT_THAT(client->Put("y"), IsOk());
}

TEST(ClientTest, AsynchronousTransfersOfFilesComeBack) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string dir = TestDir();
  const std::string content = Pattern(2000000);
  WriteFile(dir + "/in", content);
  Notification stored;
  absl::StatusOr<PutResult> put;
  client->PutFileAsync(dir + "/in", {}, [&](absl::StatusOr<PutResult> result) {
    put = std::move(result);
    stored.Notify();
  });
  stored.WaitForNotification();
  ASSERT_THAT(put, IsOk());
  Notification fetched;
  absl::StatusOr<FileInfo> got;
  client->GetToFileAsync(put->info.file_id, dir + "/out", {},
                         [&](absl::StatusOr<FileInfo> result) {
                           got = std::move(result);
                           fetched.Notify();
                         });
  fetched.WaitForNotification();
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(ReadFile(dir + "/out"), content);

  Notification read;
  absl::StatusOr<GetResult> get;
  client->GetAsync(put->info.file_id, {}, [&](absl::StatusOr<GetResult> r) {
    get = std::move(r);
    read.Notify();
  });
  read.WaitForNotification();
  ASSERT_THAT(get, IsOk());
  EXPECT_EQ(std::string(get->content), content);
}

// ---- The end.

TEST(ClientTest, CancelEndsWhatIsOpenAndRefusesWhatComes) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  const std::string large = storage.Add(Pattern(3000000));
  storage.Hold();
  storage.StallDownloads(1, 0);
  absl::StatusOr<PutResult> put;
  absl::StatusOr<GetResult> get;
  std::thread putter([&] { put = client->Put("held"); });
  std::thread getter([&] { get = client->Get(large); });
  storage.AwaitItems(1);
  client->Cancel();
  putter.join();
  getter.join();
  EXPECT_THAT(put, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(get, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(client->Put("late"), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(client->Get(large), StatusIs(absl::StatusCode::kCancelled));
  storage.Release();
}

TEST(ClientTest, TheDestructorAnswersWhatIsOpen) {
  FakeStorage storage;
  std::unique_ptr<Client> client = ConnectTo(storage);
  storage.Hold();
  std::atomic<int> cancelled{0};
  for (int i = 0; i < 50; ++i) {
    client->PutAsync(absl::Cord("x"), {}, [&](absl::StatusOr<PutResult> put) {
      if (put.status().code() == absl::StatusCode::kCancelled) ++cancelled;
    });
  }
  client.reset();
  EXPECT_EQ(cancelled.load(), 50);
  storage.Release();
}

// ---- What the caller does wrong.

TEST(ClientTest, MalformedCallsAreRefusedWithoutANode) {
  FakeStorage storage;
  const std::unique_ptr<Client> client = ConnectTo(storage);
  EXPECT_THAT(client->Put("x", {.extension = "a b"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client->Put("x", {.group = "Group!"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client->Put("x", {.store_path = 256}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client->Get("no file id"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client->Get(storage.Add("x"), {.offset = -1}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client->PutFile("/no/such/file"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(client->PutFile("/tmp"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client->GetToFile(storage.Add("x"), "/no/such/dir/file"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(storage.operations(), 0);
}

TEST(ClientTest, ConnectWantsTrackersOrAStorage) {
  EXPECT_THAT(Client::Connect({}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ClientOptions both;
  both.trackers = {"127.0.0.1:1"};
  both.storage = "127.0.0.1:2";
  EXPECT_THAT(Client::Connect(both),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace client
}  // namespace cairn
