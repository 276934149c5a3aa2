// Files whose content changes, in a group of real processes: changed at one
// member, read at each, over the death of the member that changes them.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "clients/cpp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "lib/placement/cluster_model.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

constexpr int kMembers = 3;

class AppenderTest : public ::testing::Test {
 protected:
  AppenderTest() {
    auto cluster = MiniCluster::Start({.storages = 3, .members = kMembers});
    EXPECT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    for (int i = 0; i < kMembers; ++i) {
      stubs_.push_back(
          std::make_unique<StorageStub>(cluster_->storage(i)->address()));
    }
    client_ = Connect();
  }

  std::unique_ptr<client::Client> Connect() {
    client::ClientOptions options;
    options.trackers = cluster_->tracker_addresses();
    options.connect_timeout = kProcessDeadline;
    options.timeout = kProcessDeadline;
    options.attempts_max = 1000;
    auto client = client::Client::Connect(options);
    EXPECT_THAT(client, IsOk());
    return *std::move(client);
  }

  // Of the member that made the file.
  int OriginOf(const client::FileInfo& info) {
    for (const NodeModel& node : client_->cluster()->nodes()) {
      if (node.number != info.origin_node) continue;
      for (int i = 0; i < kMembers; ++i) {
        if (cluster_->storage(i)->address() == node.address) return i;
      }
    }
    ADD_FAILURE() << "nobody is node " << info.origin_node;
    return 0;
  }

  // Each member has it in the end.
  void ExpectAtEachMember(const std::string& file_id,
                          const std::string& content) {
    for (int member = 0; member < kMembers; ++member) {
      ExpectAt(member, file_id, content);
    }
  }

  void ExpectAt(int member, const std::string& file_id,
                const std::string& content) {
    SCOPED_TRACE(absl::StrCat("member ", member));
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    absl::StatusOr<std::string> read;
    do {
      absl::SleepFor(absl::Milliseconds(20));
      read = stubs_[member]->Get(file_id);
    } while ((!read.ok() || *read != content) && absl::Now() < deadline);
    ASSERT_THAT(read, IsOk());
    EXPECT_TRUE(*read == content) << read->size() << " bytes";
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::vector<std::unique_ptr<StorageStub>> stubs_;
  std::unique_ptr<client::Client> client_;
};

TEST_F(AppenderTest, EachMemberReadsWhatOneChanges) {
  std::string content = "begin ";
  const auto created = client_->CreateAppender(content, {.extension = "log"});
  ASSERT_THAT(created, IsOk());
  const std::string id = created->info.file_id;
  EXPECT_TRUE(created->info.kind == client::FileKind::kAppender);
  ExpectAtEachMember(id, content);

  client::UpdateOptions all;
  all.durability.replicas = kMembers;
  all.durability.policy = client::ReplicaPolicy::kRequired;
  // Small ones go inline, larger ones than a block with their block CRCs.
  for (const int64_t size : {10, 5000, 400000, 1 << 20}) {
    const std::string more = ContentOf(static_cast<uint64_t>(size), size);
    const auto appended = client_->Append(id, more, all);
    ASSERT_THAT(appended, IsOk());
    EXPECT_EQ(appended->replicas, static_cast<uint32_t>(kMembers));
    content += more;
    EXPECT_EQ(appended->info.size_bytes, static_cast<int64_t>(content.size()));
    // Whoever has it at that level serves it.
    for (int member = 0; member < kMembers; ++member) {
      EXPECT_THAT(stubs_[member]->Get(id), IsOkAndHolds(content));
    }
  }
  ASSERT_THAT(client_->Modify(id, 3, "XYZ", all), IsOk());
  content.replace(3, 3, "XYZ");
  ExpectAtEachMember(id, content);
  ASSERT_THAT(client_->Truncate(id, 300000, all), IsOk());
  content.resize(300000);
  ExpectAtEachMember(id, content);
  ASSERT_THAT(client_->Truncate(id, 700000, all), IsOk());
  content.resize(700000, '\0');
  ASSERT_THAT(client_->Append(id, "end", all), IsOk());
  content += "end";
  ExpectAtEachMember(id, content);

  ASSERT_THAT(client_->Delete(id), IsOk());
  EXPECT_EQ(ReasonOf(client_->Append(id, "x").status()),
            ErrorReason::kFileDeleted);
}

TEST_F(AppenderTest, ASealedFileIsReadAtEachMemberUnderItsNewId) {
  const std::string content = ContentOf(1, 1 << 20);
  const auto created =
      client_->CreateAppender(content.substr(0, 1000), {.extension = "log"});
  ASSERT_THAT(created, IsOk());
  const std::string id = created->info.file_id;
  ASSERT_THAT(client_->Append(id, content.substr(1000, 9000)), IsOk());
  ASSERT_THAT(client_->Append(id, content.substr(10000)), IsOk());
  AttributeChange change;
  change.set = {{"k", "v"}};
  ASSERT_THAT(client_->SetAttributes(id, change), IsOk());
  const Uuid request_id = Uuid::Random();
  const auto sealed = client_->Seal(id, {.request_id = request_id});
  ASSERT_THAT(sealed, IsOk());
  EXPECT_TRUE(sealed->info.kind == client::FileKind::kNormal);
  EXPECT_EQ(sealed->info.size_bytes, static_cast<int64_t>(content.size()));
  const std::string new_id = sealed->info.file_id;
  // At once, from whichever member.
  for (int member = 0; member < kMembers; ++member) {
    EXPECT_THAT(stubs_[member]->Get(new_id), IsOkAndHolds(content));
  }
  const auto stat = client_->Stat(new_id, {.include_attributes = true});
  ASSERT_THAT(stat, IsOk());
  EXPECT_EQ(stat->attributes.at("k"), "v");
  const absl::Status refused = client_->Append(id, "x").status();
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kFileSealed);
  EXPECT_EQ(MetadataOf(refused)["file_id"], new_id);
  for (int member = 0; member < kMembers; ++member) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    absl::Status old;
    do {
      absl::SleepFor(absl::Milliseconds(20));
      old = stubs_[member]->Get(id).status();
    } while (ReasonOf(old) != ErrorReason::kFileSealed &&
             absl::Now() < deadline);
    EXPECT_EQ(ReasonOf(old), ErrorReason::kFileSealed) << member;
  }

  // And after each has been killed.
  const int origin = OriginOf(sealed->info);
  for (int member = 0; member < kMembers; ++member) {
    ASSERT_THAT(cluster_->storage(member)->KillAndRestart(), IsOk());
  }
  ExpectAtEachMember(new_id, content);
  const auto again = client_->Seal(id, {.request_id = request_id});
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->info.file_id, new_id);
  EXPECT_EQ(OriginOf(again->info), origin);
}

TEST_F(AppenderTest, SaysWhyItRefuses) {
  const auto normal = client_->Put("normal");
  ASSERT_THAT(normal, IsOk());
  EXPECT_EQ(ReasonOf(client_->Append(normal->info.file_id, "x").status()),
            ErrorReason::kNotAnAppender);
  const auto created = client_->CreateAppender("0123");
  ASSERT_THAT(created, IsOk());
  const std::string id = created->info.file_id;
  const auto past = client_->Modify(id, 5, "x");
  EXPECT_THAT(past, StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(MetadataOf(past.status())["size_bytes"], "4");
  client::UpdateOptions condition;
  condition.if_size_bytes = 3;
  const auto stale = client_->Append(id, "x", condition);
  EXPECT_EQ(ReasonOf(stale.status()), ErrorReason::kConditionFailed);
  EXPECT_EQ(MetadataOf(stale.status())["size_bytes"], "4");
  condition.if_size_bytes = 4;
  condition.if_version_match =
      std::make_pair(created->info.version_clock, created->info.version_node);
  condition.request_id = Uuid::Random();
  for (int i = 0; i < 2; ++i) {
    const auto once = client_->Append(id, "4", condition);
    ASSERT_THAT(once, IsOk());
    EXPECT_EQ(once->replayed, i == 1);
    EXPECT_EQ(once->info.size_bytes, 5);
  }
  EXPECT_EQ(
      ReasonOf(client_
                   ->Append(id, std::string(client::Client::kUpdateBytesMax + 1,
                                            'x'))
                   .status()),
      ErrorReason::kTooLarge);
  ExpectAtEachMember(id, "01234");
}

TEST_F(AppenderTest, WritersDoNotInterleave) {
  const auto created = client_->CreateAppender("");
  ASSERT_THAT(created, IsOk());
  const std::string id = created->info.file_id;
  constexpr int kWriters = 4;
  constexpr int kLines = 40;
  std::vector<std::thread> writers;
  std::atomic<int> failed{0};
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      const std::unique_ptr<client::Client> client = Connect();
      for (int i = 0; i < kLines; ++i) {
        const std::string line =
            absl::StrCat(w, " ", i, std::string(500, 'a' + w), "\n");
        if (!client->Append(id, line).ok()) ++failed;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  ASSERT_EQ(failed.load(), 0);
  const auto content = client_->Get(id);
  ASSERT_THAT(content, IsOk());
  std::vector<int> next(kWriters);
  const std::string text(content->content);
  for (const absl::string_view line :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const int writer = line[0] - '0';
    ASSERT_TRUE(writer >= 0 && writer < kWriters) << line;
    EXPECT_EQ(line, absl::StrCat(writer, " ", next[writer],
                                 std::string(500, 'a' + writer)));
    ++next[writer];
  }
  EXPECT_THAT(next, ::testing::Each(kLines));
  ExpectAtEachMember(id, text);
}

TEST_F(AppenderTest, OutlivesTheDeathOfItsOrigin) {
  const auto created = client_->CreateAppender("");
  ASSERT_THAT(created, IsOk());
  const std::string id = created->info.file_id;
  const int origin = OriginOf(created->info);
  std::atomic<int> acknowledged{0};
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop.load(); ++i) {
      if (!client_->Append(id, absl::StrCat("line ", i, "\n")).ok()) return;
      acknowledged.store(i + 1);
    }
  });
  for (int deaths = 1; deaths <= 2; ++deaths) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    while (acknowledged.load() < 50 * deaths && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    ASSERT_THAT(cluster_->storage(origin)->KillAndRestart(), IsOk());
  }
  stop.store(true);
  writer.join();
  EXPECT_GE(acknowledged.load(), 100);
  // Every line once, in order, whether or not its answer came.
  std::string expected;
  for (int i = 0; i < acknowledged.load(); ++i) {
    absl::StrAppend(&expected, "line ", i, "\n");
  }
  ExpectAtEachMember(id, expected);

  // While it is down it can be read, and not changed.
  cluster_->storage(origin)->Kill();
  EXPECT_THAT(client_->Get(id), IsOk());
  client::UpdateOptions options;
  options.timeout = absl::Seconds(1);
  const auto refused = client_->Append(id, "x", options);
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kOriginDown)
      << refused.status();
  AttributeChange change;
  change.set = {{"k", "v"}};
  client::SetAttributesOptions soon;
  soon.timeout = absl::Seconds(1);
  // Not that it is to be asked of somebody else.
  EXPECT_THAT(client_->SetAttributes(id, change, soon),
              StatusIs(absl::StatusCode::kUnavailable));
  // Another member says who is to be asked.
  client::ClientOptions other;
  other.storage = cluster_->storage((origin + 1) % kMembers)->address();
  auto direct = client::Client::Connect(other);
  ASSERT_THAT(direct, IsOk());
  EXPECT_EQ(ReasonOf((*direct)->Append(id, "x").status()),
            ErrorReason::kNotOrigin);
}

// What it took before and lost may be at the others: it waits for them.
TEST_F(AppenderTest, TakesNoChangeBeforeItHasHeardOfTheOthers) {
  client::PutOptions all;
  all.durability.replicas = kMembers;
  all.durability.policy = client::ReplicaPolicy::kRequired;
  const auto created = client_->CreateAppender("begin", all);
  ASSERT_THAT(created, IsOk());
  const std::string id = created->info.file_id;
  const int origin = OriginOf(created->info);
  for (int i = 0; i < kMembers; ++i) cluster_->storage(i)->Kill();
  ASSERT_THAT(cluster_->storage(origin)->Start(), IsOk());
  ExpectAt(origin, id, "begin");

  client::ClientOptions alone;
  alone.storage = cluster_->storage(origin)->address();
  auto direct = client::Client::Connect(alone);
  ASSERT_THAT(direct, IsOk());
  client::UpdateOptions options;
  options.timeout = absl::Seconds(5);
  const auto refused = (*direct)->Append(id, " lost", options);
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kOriginDown)
      << refused.status();

  for (int i = 0; i < kMembers; ++i) {
    if (i == origin) continue;
    ASSERT_THAT(cluster_->storage(i)->Start(), IsOk());
  }
  ASSERT_THAT(client_->Append(id, " end"), IsOk());
  ExpectAtEachMember(id, "begin end");
}

TEST_F(AppenderTest, CommandsChangeAFile) {
  const std::string folder = cluster_->folder();
  const auto write = [&folder](absl::string_view name,
                               const std::string& bytes) {
    std::string path = absl::StrCat(folder, "/", name);
    CAIRN_CHECK_OK(ReplaceFile(FileSystem::Real(), path, bytes));
    return path;
  };
  int runs = 0;
  // What a command printed.
  const auto run = [&](std::vector<std::string> arguments,
                       absl::string_view end) {
    for (const std::string& address : cluster_->tracker_addresses()) {
      arguments.insert(arguments.end(), {"--tracker", address});
    }
    auto process =
        Process::Start({Runfile("clients/cli/cairn"), std::move(arguments),
                        absl::StrCat(folder, "/run", ++runs, ".log")});
    CAIRN_CHECK_OK(process.status());
    const auto ended = (*process)->Wait();
    EXPECT_THAT(ended, IsOk());
    std::string log = (*process)->Log();
    if (ended.ok()) {
      EXPECT_EQ(ended->ToString(), end) << log;
    }
    return std::string(absl::StripAsciiWhitespace(log));
  };
  // In two steps each.
  std::string content = ContentOf(1, (1 << 20) + 10);
  const std::string more = ContentOf(2, (1 << 20) + 20);
  const std::string id =
      run({"put", "--appender", "--describe", write("first.log", content)},
          "exit 0");
  const auto attributes = client_->Stat(id, {.include_attributes = true});
  ASSERT_THAT(attributes, IsOk());
  EXPECT_TRUE(attributes->kind == client::FileKind::kAppender);
  EXPECT_EQ(attributes->attributes.at("file-name"), "first.log");
  content += more;
  EXPECT_EQ(run({"append", id, write("more", more)}, "exit 0"),
            absl::StrCat(content.size()));
  content.replace(7, 3, "XYZ");
  EXPECT_EQ(run({"modify", id, "7", write("xyz", "XYZ"), "--replicas",
                 absl::StrCat(kMembers), "--required"},
                "exit 0"),
            absl::StrCat(content.size()));
  const auto stat = client_->Stat(id);
  ASSERT_THAT(stat, IsOk());
  const std::string version =
      absl::StrCat(stat->version_clock, ".", stat->version_node);
  content.resize(1000);
  EXPECT_EQ(run({"truncate", id, "1000", "--if-version", version}, "exit 0"),
            "1000");
  EXPECT_THAT(run({"truncate", id, "10", "--if-version", version}, "exit 1"),
              ::testing::HasSubstr("CONDITION_FAILED"));
  EXPECT_THAT(run({"append", id, folder + "/xyz", "--if-size", "1"}, "exit 1"),
              ::testing::HasSubstr("CONDITION_FAILED"));
  EXPECT_THAT(run({"modify", id, "0", folder + "/more"}, "exit 2"),
              ::testing::HasSubstr("1 MiB"));
  EXPECT_THAT(
      run({"put", "--appender", "--resume", folder + "/more"}, "exit 2"),
      ::testing::HasSubstr("--resume"));
  ExpectAtEachMember(id, content);
  EXPECT_THAT(run({"seal", id, "--if-size", "1"}, "exit 1"),
              ::testing::HasSubstr("CONDITION_FAILED"));
  const std::string sealed = run({"seal", id, "--if-size", "1000"}, "exit 0");
  EXPECT_THAT(run({"append", id, folder + "/xyz"}, "exit 3"),
              ::testing::HasSubstr(sealed));
  ExpectAtEachMember(sealed, content);
}

}  // namespace
}  // namespace testing
}  // namespace cairn
