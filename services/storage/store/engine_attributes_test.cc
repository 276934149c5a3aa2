// Attributes of files on paths in memory: that nothing which happens to a path
// loses them, and that they go to the other members.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/blocking_calls.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::SizeIs;

constexpr size_t kLargeBytes = 3 << 20;

// The most that a file may have.
std::string FullSet() {
  Attributes attributes;
  for (size_t i = 0; i < kAttributesMax; ++i) {
    std::string key = absl::StrCat(i);
    key.resize(kAttributeKeyBytesMax, 'k');
    attributes[key] = std::string(kAttributeValueBytesMax, 'v');
  }
  return EncodeAttributes(attributes);
}

absl::StatusOr<Committed> PutWithAttributes(
    Member* member, const std::string& name, const std::string& content,
    const std::string& attributes,
    Durability durability = Durability::kSynced) {
  PutRequest put;
  put.name = name;
  put.origin_node = member->options()->node_number;
  put.attributes = attributes;
  put.durability = durability;
  return PutOfAnySize(member->path(), std::move(put), content);
}

absl::StatusOr<Committed> SetAttributes(Member* member,
                                        SetAttributesRequest set) {
  return SetAttributesAndWait(member->path(), std::move(set));
}

SetAttributesRequest Merge(const std::string& name, const std::string& key,
                           const std::string& value) {
  SetAttributesRequest set;
  set.name = name;
  set.change.set[key] = value;
  return set;
}

// What Stat() says; "?" if it says nothing.
std::string AttributesOf(Member* member, const std::string& name) {
  const auto info = member->path()->Stat(name);
  return info.ok() ? info->attributes : "?";
}

// A small file, a large one, one with the largest set, and one without.
std::vector<std::pair<std::string, std::string>> PutAll(Member* member) {
  const std::string some = EncodeAttributes({{"a", "1"}, {"b", ""}});
  const std::vector<std::pair<std::string, std::string>> files = {
      {"small", some}, {"large", some}, {"full", FullSet()}, {"none", ""}};
  for (const auto& [name, attributes] : files) {
    const std::string content =
        TestContent(name.size(), name == "large" ? kLargeBytes : 1000);
    const auto put = PutWithAttributes(member, name, content, attributes);
    CAIRN_CHECK_OK(put.status());
    EXPECT_EQ(put->file.attributes, attributes);
  }
  return files;
}

TEST(EngineAttributesTest, NothingThatHappensToAPathLosesThem) {
  Member member(1);
  const auto files = PutAll(&member);
  const auto expect_all = [&](const char* when) {
    SCOPED_TRACE(when);
    for (const auto& [name, attributes] : files) {
      EXPECT_EQ(AttributesOf(&member, name), attributes) << name;
      const auto open = member.path()->Open(name);
      ASSERT_THAT(open, IsOk());
      EXPECT_EQ((*open)->info().attributes, attributes) << name;
    }
  };
  expect_all("after the put");
  member.KillAndOpen();
  expect_all("replayed from the journal");
  ASSERT_THAT(member.replica()->BeginSnapshot(), IsOk());
  expect_all("flushed into tables");
  member.KillAndOpen();
  expect_all("read from tables");
  member.PowerCutAndOpen();
  expect_all("after a power cut");
  ASSERT_THAT(PutFile(member.path(), "dead", TestContent(1, 5000)), IsOk());
  ASSERT_THAT(DeleteFile(member.path(), "dead"), IsOk());
  ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
  expect_all("moved by compaction");
  member.KillAndOpen();
  expect_all("replayed from moved records");
  member.Rebuild();
  expect_all("rebuilt from segments");
}

TEST(EngineAttributesTest, TheyGoWithTheFile) {
  Member member(1);
  PutAll(&member);
  for (const char* name : {"small", "large"}) {
    ASSERT_THAT(DeleteFile(member.path(), name), IsOk());
    const auto known = member.replica()->Find(name);
    ASSERT_THAT(known, IsOk());
    ASSERT_TRUE(known->has_value());
    EXPECT_TRUE((*known)->deleted);
    EXPECT_EQ((*known)->file.attributes, "");
  }
  member.Rebuild();
  const auto known = member.replica()->Find("small");
  ASSERT_THAT(known, IsOk());
  ASSERT_TRUE(known->has_value());
  EXPECT_EQ((*known)->file.attributes, "");
}

TEST(EngineAttributesTest, TheLogBringsThemToOtherMembers) {
  Member a(1);
  Member b(2);
  Member c(3);
  const auto files = PutAll(&a);
  Copy(&a, &b);
  // And on from there, from B's copy of A's log.
  Copy(&b, &c, a.own_log().log);
  for (Member* member : {&b, &c}) {
    for (const auto& [name, attributes] : files) {
      EXPECT_EQ(AttributesOf(member, name), attributes) << name;
    }
    member->KillAndOpen();
    for (const auto& [name, attributes] : files) {
      EXPECT_EQ(AttributesOf(member, name), attributes) << name;
    }
  }
}

TEST(EngineAttributesTest, AFileWhoseContentIsStillToComeHasThem) {
  Member a(1);
  Member b(2);
  PutAll(&a);
  const LogId log = a.own_log().log;
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ASSERT_THAT(*changes, SizeIs(4));
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  for (ReplicatedChange& change : *changes) {
    change.content.reset();
    ASSERT_THAT(ApplyAndWait(&b, std::move(change)), IsOk());
  }
  const std::string attributes = AttributesOf(&a, "small");
  EXPECT_EQ(AttributesOf(&b, "small"), attributes);
  b.KillAndOpen();
  EXPECT_EQ(AttributesOf(&b, "small"), attributes);
  for (const char* name : {"small", "large"}) {
    ASSERT_THAT(FetchContent(&a, &b, name), IsOk());
    EXPECT_EQ(AttributesOf(&b, name), attributes);
    EXPECT_THAT(ReadFile(b.path(), name), IsOk());
  }
}

TEST(EngineAttributesTest, ASnapshotBringsThem) {
  Member a(1);
  Member b(2);
  const auto files = PutAll(&a);
  ASSERT_THAT(a.replica()->BeginSnapshot(), IsOk());
  auto page = ReadSnapshotChanges(a.path(), "", ChangeLimits{});
  ASSERT_THAT(page, IsOk());
  EXPECT_EQ(page->next, "");
  for (ReplicatedChange& change : page->changes) {
    ASSERT_THAT(ApplyAndWait(&b, std::move(change)), IsOk());
  }
  for (const auto& [name, attributes] : files) {
    EXPECT_EQ(AttributesOf(&b, name), attributes) << name;
  }
}

TEST(EngineAttributesTest, AChangeThatIsSetAsideKeepsThem) {
  Member a(1);
  Member b(2);
  const std::string attributes = EncodeAttributes({{"a", "1"}});
  ASSERT_THAT(PutWithAttributes(&a, "f", "content", attributes), IsOk());
  const LogId log = a.own_log().log;
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  ReplicatedChange aside = changes->front();
  aside.set_aside = true;
  ASSERT_THAT(ApplyAndWait(&b, std::move(aside)), IsOk());
  EXPECT_EQ(AttributesOf(&b, "f"), "?");
  for (int opened = 0; opened < 2; ++opened) {
    const auto set_aside = b.replica()->ListSetAside();
    ASSERT_THAT(set_aside, SizeIs(1));
    EXPECT_EQ(set_aside[0].file.attributes, attributes);
    b.KillAndOpen();
  }
  ASSERT_THAT(ApplyAndWait(&b, b.replica()->ListSetAside().front()), IsOk());
  EXPECT_EQ(AttributesOf(&b, "f"), attributes);
}

TEST(EngineAttributesTest, AChangeIsANewVersionOfTheSameContent) {
  Member member(1);
  for (const size_t size :
       {size_t{0}, size_t{1000}, size_t{300000}, kLargeBytes}) {
    SCOPED_TRACE(size);
    const std::string name = absl::StrCat("f", size);
    const std::string content = TestContent(size, size);
    const auto put = PutWithAttributes(&member, name, content,
                                       EncodeAttributes({{"a", "1"}}));
    ASSERT_THAT(put, IsOk());
    const int64_t journal =
        static_cast<int64_t>(member.path()->Numbers().journal_bytes);
    const auto set = SetAttributes(&member, Merge(name, "b", "2"));
    ASSERT_THAT(set, IsOk());
    // No content is written again.
    EXPECT_LT(static_cast<int64_t>(member.path()->Numbers().journal_bytes),
              journal + 1000);
    EXPECT_EQ(set->reached, Durability::kSynced);
    EXPECT_TRUE(put->file.version < set->file.version);
    EXPECT_EQ(set->file.size_bytes, put->file.size_bytes);
    EXPECT_EQ(set->file.crc32c, put->file.crc32c);
    EXPECT_EQ(set->file.create_unix_seconds, put->file.create_unix_seconds);
    const std::string both = EncodeAttributes({{"a", "1"}, {"b", "2"}});
    const auto expect = [&](const char* when) {
      SCOPED_TRACE(when);
      EXPECT_EQ(AttributesOf(&member, name), both);
      EXPECT_THAT(ReadFile(member.path(), name), IsOkAndHolds(content));
      EXPECT_TRUE(member.path()->Stat(name)->version == set->file.version);
    };
    expect("after the change");
    member.KillAndOpen();
    expect("replayed");
    member.PowerCutAndOpen();
    expect("after a power cut");
    const std::string dead = absl::StrCat("dead", size);
    ASSERT_THAT(PutFile(member.path(), dead, TestContent(1, 5000)), IsOk());
    ASSERT_THAT(DeleteFile(member.path(), dead), IsOk());
    ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
    expect("compacted");
    member.KillAndOpen();
    member.Rebuild();
    expect("rebuilt");
    ASSERT_THAT(DeleteFile(member.path(), name), IsOk());
    EXPECT_EQ(ReasonOf(SetAttributes(&member, Merge(name, "b", "3")).status()),
              ErrorReason::kFileDeleted);
    // No record of the file, whichever came when, brings it back.
    member.clock()->Advance(absl::Hours(48));
    ASSERT_THAT(member.path()->Compact(0, nullptr), IsOk());
    member.Rebuild();
    EXPECT_THAT(member.path()->Stat(name),
                StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST(EngineAttributesTest, AChangeThatCannotBeSaysWhyAndChangesNothing) {
  Member member(1);
  const auto put = PutWithAttributes(&member, "f", "content", FullSet());
  ASSERT_THAT(put, IsOk());
  EXPECT_EQ(ReasonOf(SetAttributes(&member, Merge("none", "a", "1")).status()),
            ErrorReason::kFileNotFound);
  EXPECT_EQ(ReasonOf(SetAttributes(&member, Merge("f", "a", "1")).status()),
            ErrorReason::kTooLarge);
  SetAttributesRequest late = Merge("f", "a", "1");
  late.change.overwrite = true;
  late.if_version_match = Version{1, 1};
  const absl::Status mismatch = SetAttributes(&member, late).status();
  EXPECT_EQ(mismatch.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(mismatch), ErrorReason::kVersionMismatch);
  EXPECT_EQ(MetadataOf(mismatch)["version_clock"],
            absl::StrCat(put->file.version.clock));
  EXPECT_EQ(AttributesOf(&member, "f"), FullSet());
  late.if_version_match = put->file.version;
  EXPECT_THAT(SetAttributes(&member, late), IsOk());
  EXPECT_EQ(AttributesOf(&member, "f"), EncodeAttributes({{"a", "1"}}));
}

TEST(EngineAttributesTest, ARepeatedChangeHappensOnceAtWhicheverMember) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutFile(a.path(), "f", "content"), IsOk());
  ASSERT_THAT(PutFile(a.path(), "large", TestContent(1, kLargeBytes)), IsOk());
  for (const char* name : {"f", "large"}) {
    SetAttributesRequest set = Merge(name, "a", "1");
    set.request_id = Uuid::Random();
    const auto first = SetAttributes(&a, set);
    ASSERT_THAT(first, IsOk());
    ASSERT_THAT(SetAttributes(&a, Merge(name, "a", "2")), IsOk());
    const auto again = SetAttributes(&a, set);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    EXPECT_TRUE(again->file.version == first->file.version);
    Copy(&a, &b);
    const auto there = SetAttributes(&b, set);
    ASSERT_THAT(there, IsOk());
    EXPECT_TRUE(there->replayed);
    EXPECT_EQ(AttributesOf(&b, name), EncodeAttributes({{"a", "2"}}));
    set.name = "other";
    EXPECT_EQ(ReasonOf(SetAttributes(&a, set).status()),
              ErrorReason::kRequestIdReused);
  }
}

TEST(EngineAttributesTest, AMemberThatHasTheContentKeepsItsOwn) {
  for (const size_t size : {size_t{1000}, kLargeBytes}) {
    SCOPED_TRACE(size);
    Member a(1);
    Member b(2);
    const std::string name = absl::StrCat("f", size);
    const std::string content = TestContent(size, size);
    ASSERT_THAT(PutFile(a.path(), name, content), IsOk());
    Copy(&a, &b);
    // Changed at B, which A hears of without the content.
    ASSERT_THAT(SetAttributes(&b, Merge(name, "k", "v")), IsOk());
    const LogId log = b.own_log().log;
    ASSERT_THAT(a.replica()->SetLogs({LogRange{log}}), IsOk());
    auto changes =
        ReadChanges(b.path(), log, a.RangeOf(log).applied, ChangeLimits{});
    ASSERT_THAT(changes, IsOk());
    ASSERT_THAT(*changes, SizeIs(1));
    ReplicatedChange change = changes->front();
    change.content.reset();
    ASSERT_THAT(ApplyAndWait(&a, std::move(change)), IsOk());
    EXPECT_TRUE(a.replica()->ListMissing("", 10).empty());
    for (int opened = 0; opened < 3; ++opened) {
      EXPECT_EQ(AttributesOf(&a, name), EncodeAttributes({{"k", "v"}}));
      EXPECT_THAT(ReadFile(a.path(), name), IsOkAndHolds(content));
      if (opened == 0) a.KillAndOpen();
      if (opened == 1) a.Rebuild();
    }
  }
}

TEST(EngineAttributesTest, TheyCanBeChangedWhereTheContentIsStillToCome) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutFile(a.path(), "f", "content"), IsOk());
  const LogId log = a.own_log().log;
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  ASSERT_THAT(b.replica()->SetLogs({LogRange{log}}), IsOk());
  changes->front().content.reset();
  ASSERT_THAT(ApplyAndWait(&b, changes->front()), IsOk());
  ASSERT_THAT(SetAttributes(&b, Merge("f", "k", "v")), IsOk());
  EXPECT_THAT(b.replica()->ListMissing("", 10), SizeIs(1));
  b.KillAndOpen();
  EXPECT_THAT(b.replica()->ListMissing("", 10), SizeIs(1));
  // The member that has the content has not lost it by that.
  Copy(&b, &a);
  EXPECT_THAT(ReadFile(a.path(), "f"), IsOkAndHolds("content"));
  EXPECT_EQ(AttributesOf(&a, "f"), EncodeAttributes({{"k", "v"}}));
  ASSERT_THAT(FetchContent(&a, &b, "f"), IsOk());
  EXPECT_THAT(ReadFile(b.path(), "f"), IsOkAndHolds("content"));
  EXPECT_EQ(AttributesOf(&b, "f"), EncodeAttributes({{"k", "v"}}));
}

// Somebody has changed the file without having heard that it was deleted.
TEST(EngineAttributesTest, ADeletionIsFinalWhateverItsVersion) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(PutFile(a.path(), "f", "content"), IsOk());
  Copy(&a, &b);
  ASSERT_THAT(DeleteFile(b.path(), "f"), IsOk());
  ReplicatedChange later;
  later.mode = ReplicatedChange::Mode::kSnapshot;
  later.file = *a.path()->Stat("f");
  later.file.version.clock += uint64_t{1} << 40;
  later.file.attributes = EncodeAttributes({{"a", "1"}});
  later.content = absl::Cord("content");
  ASSERT_THAT(ApplyAndWait(&a, later), IsOk());
  EXPECT_EQ(AttributesOf(&a, "f"), later.file.attributes);
  ASSERT_THAT(ApplyAndWait(&b, later), IsOk());
  EXPECT_EQ(ReasonOf(b.path()->Stat("f").status()), ErrorReason::kFileDeleted);
  Copy(&b, &a);
  EXPECT_EQ(ReasonOf(a.path()->Stat("f").status()), ErrorReason::kFileDeleted);
  for (Member* member : {&a, &b}) {
    member->Rebuild();
    EXPECT_EQ(ReasonOf(member->path()->Stat("f").status()),
              ErrorReason::kFileDeleted);
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
