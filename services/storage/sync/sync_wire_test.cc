// The hand-made messages between members, against generated code.

#include "services/storage/sync/sync_wire.h"

#include <string>
#include <vector>

#include "absl/strings/cord.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/checksum/crc32c.h"
#include "lib/rpc/wire.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::SizeIs;

ReplicatedChange MakeChange(uint64_t sequence, const std::string& content) {
  ReplicatedChange change;
  change.change.sequence = sequence;
  change.file.name = "3F/A2/name.jpg";
  change.file.version = Version{uint64_t{1} << 60, 7};
  change.file.size_bytes = static_cast<int64_t>(content.size());
  change.file.crc32c = Crc32c(content);
  change.file.create_unix_seconds = 1700000000;
  change.file.origin_node = 9;
  change.request_id = Uuid::Random();
  change.content = absl::Cord(content);
  return change;
}

SyncBatch MakeBatch() {
  SyncBatch batch;
  batch.log = LogId{Uuid::Random(), 3};
  LogRange range;
  range.log = batch.log;
  range.cut = 1;
  range.applied = 8;
  range.synced = 5;
  range.own = true;
  batch.logs.push_back(range);
  batch.ack_wanted = true;
  batch.changes.push_back(MakeChange(6, "small"));
  batch.changes.push_back(MakeChange(7, std::string(100000, 'x')));
  batch.changes.push_back(MakeChange(8, ""));
  ReplicatedChange passed;
  passed.change.sequence = 9;
  passed.kind = ChangeKind::kDelete;
  passed.passed = true;
  passed.file.name = "3F/A2/gone";
  passed.file.version = Version{5, 1};
  passed.file.life = 2;
  batch.changes.push_back(passed);
  ReplicatedChange large = MakeChange(10, "");
  large.file.size_bytes = int64_t{1} << 40;
  large.content.reset();
  batch.changes.push_back(large);
  batch.changes[1].file.attributes =
      EncodeAttributes({{"a", std::string(1000, 'v')}, {"b", ""}});
  batch.changes[4].file.attributes = EncodeAttributes({{"of", "large"}});
  ReplicatedChange replaced = passed;
  replaced.change.sequence = 11;
  replaced.kind = ChangeKind::kPut;
  replaced.superseded_by = 300;
  replaced.superseded_elsewhere = true;
  batch.changes.push_back(replaced);
  ReplicatedChange appended = MakeChange(12, "head and tail");
  appended.file.kind = FileKind::kAppender;
  appended.file.life = 1;
  appended.file.expire_unix_seconds = 1800000000;
  appended.base = FileState{Version{77, 7}, 5, Crc32c("head ")};
  appended.content = absl::Cord("and tail");
  batch.changes.push_back(appended);
  ReplicatedChange sealed = MakeChange(13, "");
  sealed.file.sealed_from = "3F/A2/appender";
  sealed.file.copied_from = "3F/A2/source";
  sealed.file.sha256 = std::string(32, 'h');
  sealed.file.deduplicated = true;
  batch.changes.push_back(sealed);
  ReplicatedChange ended = MakeChange(14, "");
  ended.kind = ChangeKind::kDelete;
  ended.content.reset();
  ended.file.sealed_as = "3F/A2/normal";
  batch.changes.push_back(ended);
  ReplicatedChange kept = MakeChange(15, "");
  kept.kind = ChangeKind::kDelete;
  kept.content.reset();
  kept.file.undelete_until_unix_seconds = 1800000000;
  batch.changes.push_back(kept);
  return batch;
}

TEST(SyncWireTest, GivesBackWhatWasSent) {
  const SyncBatch sent = MakeBatch();
  SyncBatch got;
  ASSERT_THAT(ParseSyncResponse(MakeSyncResponse(sent), &got), IsOk());
  EXPECT_TRUE(got.log == sent.log);
  ASSERT_THAT(got.logs, SizeIs(1));
  EXPECT_EQ(got.logs[0].cut, 1u);
  EXPECT_EQ(got.logs[0].applied, 8u);
  EXPECT_EQ(got.logs[0].synced, 5u);
  EXPECT_TRUE(got.logs[0].own);
  EXPECT_TRUE(got.ack_wanted);
  EXPECT_FALSE(got.sync_wanted);
  ASSERT_THAT(got.changes, SizeIs(sent.changes.size()));
  for (size_t i = 0; i < sent.changes.size(); ++i) {
    const ReplicatedChange& a = sent.changes[i];
    const ReplicatedChange& b = got.changes[i];
    EXPECT_TRUE(b.change == (LogPosition{sent.log, a.change.sequence}));
    EXPECT_TRUE(b.mode == ReplicatedChange::Mode::kNext);
    EXPECT_TRUE(a.kind == b.kind);
    EXPECT_EQ(a.passed, b.passed);
    EXPECT_EQ(a.file.name, b.file.name);
    EXPECT_TRUE(a.file.version == b.file.version);
    EXPECT_EQ(a.file.size_bytes, b.file.size_bytes);
    EXPECT_EQ(a.file.origin_node, b.file.origin_node);
    EXPECT_EQ(a.file.attributes, b.file.attributes);
    EXPECT_EQ(a.file.life, b.file.life);
    EXPECT_EQ(a.file.expire_unix_seconds, b.file.expire_unix_seconds);
    EXPECT_EQ(a.file.sealed_from, b.file.sealed_from);
    EXPECT_EQ(a.file.sealed_as, b.file.sealed_as);
    EXPECT_EQ(a.file.undelete_until_unix_seconds,
              b.file.undelete_until_unix_seconds);
    EXPECT_EQ(a.file.copied_from, b.file.copied_from);
    EXPECT_EQ(a.file.sha256, b.file.sha256);
    EXPECT_EQ(a.file.deduplicated, b.file.deduplicated);
    EXPECT_TRUE(a.request_id == b.request_id);
    EXPECT_EQ(a.superseded_by, b.superseded_by);
    EXPECT_EQ(a.superseded_elsewhere, b.superseded_elsewhere);
    ASSERT_EQ(a.base.has_value(), b.base.has_value());
    if (a.base.has_value()) {
      EXPECT_TRUE(a.base->version == b.base->version);
      EXPECT_EQ(a.base->size_bytes, b.base->size_bytes);
      EXPECT_EQ(a.base->crc32c, b.base->crc32c);
    }
    EXPECT_EQ(a.content.has_value(), b.content.has_value());
    EXPECT_EQ(a.content.value_or(absl::Cord()),
              b.content.value_or(absl::Cord()));
  }
}

TEST(SyncWireTest, IsWhatTheProtocolSays) {
  v1::SyncResponse response;
  ASSERT_TRUE(rpc::FromByteBuffer(MakeSyncResponse(MakeBatch()), &response));
  ASSERT_EQ(response.entries_size(), 10);
  EXPECT_EQ(response.entries(0).content(), "small");
  EXPECT_EQ(response.entries(0).operation(), v1::CHANGE_OPERATION_PUT);
  EXPECT_TRUE(response.entries(2).has_content());
  EXPECT_TRUE(response.entries(3).passed());
  EXPECT_FALSE(response.entries(4).has_content());
  EXPECT_EQ(response.entries(4).size_bytes(), uint64_t{1} << 40);
  EXPECT_FALSE(response.entries(0).has_attributes());
  ASSERT_EQ(response.entries(1).attributes().attributes_size(), 2);
  EXPECT_EQ(response.entries(1).attributes().attributes(1).key(), "b");
  ASSERT_EQ(response.entries(4).attributes().attributes_size(), 1);
  EXPECT_EQ(response.entries(4).attributes().attributes(0).value(), "large");
  EXPECT_EQ(response.entries(5).superseded_by(), 300u);
  EXPECT_EQ(response.entries(0).life(), 0u);
  EXPECT_EQ(response.entries(3).life(), 2u);
  EXPECT_EQ(response.entries(6).life(), 1u);
  EXPECT_EQ(response.entries(6).expire_unix_seconds(), 1800000000);
  EXPECT_EQ(response.entries(6).base().size_bytes(), 5u);
  EXPECT_EQ(response.entries(6).base().version_clock(), 77u);
  EXPECT_EQ(response.entries(7).sealed_from(), "3F/A2/appender");
  EXPECT_EQ(response.entries(7).sealed_as(), "");
  EXPECT_EQ(response.entries(7).copied_from(), "3F/A2/source");
  EXPECT_EQ(response.entries(7).sha256(), std::string(32, 'h'));
  EXPECT_TRUE(response.entries(7).deduplicated());
  EXPECT_EQ(response.entries(8).sealed_as(), "3F/A2/normal");
  EXPECT_EQ(response.entries(8).undelete_until_unix_seconds(), 0);
  EXPECT_EQ(response.entries(9).undelete_until_unix_seconds(), 1800000000);
}

// What was added to a file that is not what it is said to be would make another
// file of it.
TEST(SyncWireTest, LeavesOutAnAdditionThatDoesNotMakeTheFile) {
  SyncBatch sent = MakeBatch();
  sent.changes[6].base->crc32c ^= 1;
  SyncBatch got;
  ASSERT_THAT(ParseSyncResponse(MakeSyncResponse(sent), &got), IsOk());
  EXPECT_FALSE(got.changes[6].content.has_value());
  EXPECT_FALSE(got.changes[6].base.has_value());
}

TEST(SyncWireTest, RefusesAttributesThatAreNone) {
  SyncBatch batch = MakeBatch();
  batch.changes[1].file.attributes = "\x0a\x7f";
  SyncBatch got;
  EXPECT_EQ(ReasonOf(ParseSyncResponse(MakeSyncResponse(batch), &got)),
            ErrorReason::kInvalidField);
}

// The other member keeps what it has of the file, as it has it.
TEST(SyncWireTest, ADeletionSaysNothingThatUsersSaidOfTheFile) {
  SyncBatch sent = MakeBatch();
  sent.changes[9].file.attributes = EncodeAttributes({{"a", "b"}});
  sent.changes[9].file.expire_unix_seconds = 1900000000;
  SyncBatch got;
  ASSERT_THAT(ParseSyncResponse(MakeSyncResponse(sent), &got), IsOk());
  EXPECT_EQ(got.changes[9].file.attributes, "");
  EXPECT_EQ(got.changes[9].file.expire_unix_seconds, 0);
}

TEST(SyncWireTest, RefusesAWindowThatIsNone) {
  for (const int64_t seconds : {int64_t{-1}, kExpireUnixSecondsMax + 1}) {
    SyncBatch sent = MakeBatch();
    sent.changes[9].file.undelete_until_unix_seconds = seconds;
    SyncBatch got;
    EXPECT_EQ(ReasonOf(ParseSyncResponse(MakeSyncResponse(sent), &got)),
              ErrorReason::kInvalidField);
  }
}

TEST(SyncWireTest, ASnapshotSaysWhichLogEachFileIsFrom) {
  SnapshotBatch sent;
  for (int i = 0; i < 2; ++i) {
    LogRange range;
    range.log = LogId{Uuid::Random(), 1};
    sent.logs.push_back(range);
  }
  sent.next = std::string("\0key", 4);
  for (int i = 0; i < 3; ++i) {
    ReplicatedChange change = MakeChange(i, "x");
    if (i < 2) change.change.log = sent.logs[1 - i].log;
    sent.changes.push_back(change);
  }
  std::vector<LogRange> logs;
  SnapshotBatch got;
  ASSERT_THAT(
      ParseSnapshotResponse(MakeSnapshotResponse(sent, sent.logs), &logs, &got),
      IsOk());
  EXPECT_EQ(got.next, sent.next);
  EXPECT_FALSE(got.end);
  ASSERT_THAT(got.changes, SizeIs(3));
  EXPECT_TRUE(got.changes[0].change.log == sent.logs[1].log);
  EXPECT_TRUE(got.changes[1].change.log == sent.logs[0].log);
  EXPECT_TRUE(got.changes[2].change.log.is_nil());
  EXPECT_TRUE(got.changes[0].mode == ReplicatedChange::Mode::kSnapshot);
  // Later messages refer to the logs of the first.
  SnapshotBatch second = sent;
  second.logs.clear();
  second.end = true;
  SnapshotBatch got_second;
  ASSERT_THAT(ParseSnapshotResponse(MakeSnapshotResponse(second, sent.logs),
                                    &logs, &got_second),
              IsOk());
  EXPECT_TRUE(got_second.end);
  EXPECT_TRUE(got_second.changes[0].change.log == sent.logs[1].log);
}

TEST(SyncWireTest, ADigestGivesBackWhatWasSent) {
  DigestBatch ranges;
  ranges.logs.push_back(LogRange{LogId{Uuid::Random(), 2}});
  ranges.logs[0].applied = 77;
  ranges.ranges.push_back({std::string("key\0x", 5), 1024, ~uint64_t{5}});
  ranges.ranges.push_back({"", 3, 0});
  ranges.end = true;
  std::vector<LogRange> logs;
  DigestBatch got;
  ASSERT_THAT(
      ParseDigestResponse(MakeDigestResponse(ranges, ranges.logs), &logs, &got),
      IsOk());
  ASSERT_THAT(got.ranges, SizeIs(2));
  EXPECT_EQ(got.ranges[0].until, ranges.ranges[0].until);
  EXPECT_EQ(got.ranges[0].names, 1024u);
  EXPECT_EQ(got.ranges[0].digest, ~uint64_t{5});
  EXPECT_EQ(got.ranges[1].until, "");
  EXPECT_TRUE(got.end);
  ASSERT_THAT(got.logs, SizeIs(1));
  EXPECT_EQ(got.logs[0].applied, 77u);

  DigestBatch entries;
  entries.next = "cursor";
  ReplicatedChange known = MakeChange(5, "x");
  known.content.reset();
  known.request_id = Uuid();
  known.change.log = ranges.logs[0].log;
  entries.changes.push_back(known);
  known.kind = ChangeKind::kDelete;
  known.change = LogPosition();
  entries.changes.push_back(known);
  DigestBatch got_entries;
  ASSERT_THAT(ParseDigestResponse(MakeDigestResponse(entries, ranges.logs),
                                  &logs, &got_entries),
              IsOk());
  EXPECT_EQ(got_entries.next, "cursor");
  EXPECT_FALSE(got_entries.end);
  ASSERT_THAT(got_entries.changes, SizeIs(2));
  EXPECT_TRUE(got_entries.changes[0].change.log == ranges.logs[0].log);
  EXPECT_EQ(got_entries.changes[0].file.crc32c, known.file.crc32c);
  EXPECT_TRUE(got_entries.changes[1].kind == ChangeKind::kDelete);
  EXPECT_TRUE(got_entries.changes[1].change.log.is_nil());
  EXPECT_TRUE(got_entries.changes[1].mode == ReplicatedChange::Mode::kSnapshot);
  // A content has no business there.
  entries.changes[0].content = absl::Cord("x");
  EXPECT_EQ(ReasonOf(ParseDigestResponse(
                MakeDigestResponse(entries, ranges.logs), &logs, &got)),
            ErrorReason::kInvalidField);
}

TEST(SyncWireTest, LeavesOutAContentThatIsNotTheFiles) {
  SyncBatch batch;
  batch.log = LogId{Uuid::Random(), 1};
  batch.changes.push_back(MakeChange(1, "content"));
  batch.changes[0].file.crc32c ^= 1;
  batch.changes.push_back(MakeChange(2, "other"));
  SyncBatch got;
  ASSERT_THAT(ParseSyncResponse(MakeSyncResponse(batch), &got), IsOk());
  // It is fetched on its own, and holds up nothing.
  ASSERT_EQ(got.changes.size(), 2u);
  EXPECT_FALSE(got.changes[0].content.has_value());
  EXPECT_TRUE(got.changes[1].content.has_value());
}

TEST(SyncWireTest, RefusesWhatIsNoMessage) {
  const std::string whole = [] {
    std::string bytes;
    v1::SyncResponse response;
    CAIRN_CHECK(rpc::FromByteBuffer(MakeSyncResponse(MakeBatch()), &response));
    response.SerializeToString(&bytes);
    return bytes;
  }();
  int refused = 0;
  for (size_t cut = 1; cut < 400; ++cut) {
    SyncBatch got;
    if (!ParseSyncResponse(rpc::ToByteBuffer(whole.substr(0, cut)), &got)
             .ok()) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 350);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
