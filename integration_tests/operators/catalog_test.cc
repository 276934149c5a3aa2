// Listing and watching with the `cairn` command, while members take files and
// are killed: all of them real processes, but for the client that stores, which
// is the library that programs use.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::HasSubstr;

using Ids = std::set<std::string>;

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(50));
  }
  return true;
}

// The IDs of one kind of event in the output of `cairn watch`.
Ids EventsIn(const std::string& text, const std::string& kind) {
  Ids ids;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() == 2 && words[0] == kind) ids.emplace(words[1]);
  }
  return ids;
}

class CatalogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto cluster = MiniCluster::Start({.storages = 2, .members = 2});
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    client::ClientOptions options;
    options.trackers = cluster_->tracker_addresses();
    options.timeout = kProcessDeadline;
    options.attempts_max = 100;
    auto client = client::Client::Connect(options);
    ASSERT_THAT(client, IsOk());
    client_ = *std::move(client);
  }

  std::unique_ptr<Process> Launch(std::vector<std::string> arguments) {
    const bool lists = arguments[0] != "import";
    arguments.insert(arguments.end(),
                     {"--tracker", cluster_->tracker()->address()});
    if (lists) {
      arguments.insert(arguments.end(),
                       {"--secret-file", cluster_->secret_file()});
    }
    auto process = Process::Start(
        {Runfile("clients/cli/cairn"), arguments,
         absl::StrCat(cluster_->folder(), "/cairn", ++commands_)});
    EXPECT_THAT(process, IsOk());
    return process.ok() ? *std::move(process) : nullptr;
  }

  // What `cairn ls` prints, if it succeeds.
  absl::optional<Ids> List(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(), "ls");
    const std::unique_ptr<Process> process = Launch(arguments);
    if (process == nullptr) return absl::nullopt;
    const auto status = process->Wait();
    EXPECT_THAT(status, IsOk());
    if (!status.ok() || status->code != 0) return absl::nullopt;
    Ids ids;
    for (const absl::string_view line :
         absl::StrSplit(process->Log(), '\n', absl::SkipEmpty())) {
      if (absl::StartsWith(line, "group")) ids.emplace(line);
    }
    return ids;
  }

  void Put(int files) {
    for (int i = 0; i < files; ++i) {
      const auto put = client_->Put(absl::StrCat("content ", put_.size()));
      ASSERT_THAT(put, IsOk());
      put_.insert(put->info.file_id);
    }
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::unique_ptr<client::Client> client_;
  Ids put_;
  int commands_ = 0;
};

TEST_F(CatalogTest, ListsAndWatchesThroughOneMemberAndOnItsDeathTheOther) {
  Put(20);
  ASSERT_TRUE(Eventually([this] { return List() == put_; }));

  const std::unique_ptr<Process> watch = Launch({"watch"});
  ASSERT_NE(watch, nullptr);
  // It is there once it tells something.
  ASSERT_TRUE(Eventually([&] {
    Put(1);
    return !EventsIn(watch->Log(), "created").empty();
  }));
  const Ids before = put_;
  for (int killed = 0; killed < 2; ++killed) {
    SCOPED_TRACE(absl::StrCat("storage", killed, " is killed"));
    Put(20);
    // All of it is at the other member, or the watch cannot hear of it there.
    ASSERT_TRUE(Eventually([&] {
      return List({"--node", "storage0"}) == put_ &&
             List({"--node", "storage1"}) == put_;
    }));
    cluster_->storage(killed)->Kill();
    Put(20);
    ASSERT_TRUE(Eventually([this] { return List() == put_; }));
    EXPECT_TRUE(Eventually([&] {
      const Ids created = EventsIn(watch->Log(), "created");
      return std::all_of(put_.begin(), put_.end(), [&](const std::string& id) {
        return before.count(id) > 0 || created.count(id) > 0;
      });
    })) << watch->Log();
    ASSERT_THAT(cluster_->storage(killed)->Start(), IsOk());
  }
  const std::string gone = *put_.begin();
  ASSERT_THAT(client_->Delete(gone), IsOk());
  put_.erase(gone);
  EXPECT_TRUE(Eventually([&] {
    return EventsIn(watch->Log(), "deleted").count(gone) > 0;
  })) << watch->Log();
  EXPECT_TRUE(Eventually([this] { return List() == put_; }));

  const auto ended = watch->Terminate();
  ASSERT_THAT(ended, IsOk());
  EXPECT_EQ(ended->code, 130);

  // The token is good at every member, and after a restart.
  const std::string log = watch->Log();
  const size_t token = log.rfind("--from ");
  ASSERT_NE(token, std::string::npos) << log;
  const std::string from =
      log.substr(token + 7, log.find_first_of(" \n", token + 7) - token - 7);
  Put(1);
  const auto missed = [&](const char* node) {
    const std::unique_ptr<Process> rest =
        Launch({"watch", "--until-now", "--from", from, "--node", node});
    const auto status = rest->Wait();
    return status.ok() && status->code == 0
               ? EventsIn(rest->Log(), "created").size()
               : 0;
  };
  EXPECT_TRUE(Eventually([&] { return missed("storage0") >= 1; }));
  EXPECT_TRUE(Eventually([&] { return missed("storage1") >= 1; }));
}

// The lines of a list, by their first word.
std::map<std::string, std::string> ListIn(const std::string& path) {
  std::map<std::string, std::string> ids;
  std::ifstream in(path);
  std::string line;
  while (std::getline(in, line)) {
    const size_t tab = line.find('\t');
    if (tab != std::string::npos) {
      ids[line.substr(0, tab)] = line.substr(tab + 1);
    }
  }
  return ids;
}

TEST_F(CatalogTest, ExportsWhatIsThereThenWhatChangedAndImportsIt) {
  std::map<std::string, std::string> contents;
  const auto put = [&](int files) {
    for (int i = 0; i < files; ++i) {
      const std::string content = absl::StrCat("content ", contents.size());
      client::PutOptions options;
      options.extension = "txt";
      options.attributes = {{"number", absl::StrCat(contents.size())}};
      const auto result = client_->Put(content, options);
      ASSERT_THAT(result, IsOk());
      contents[result->info.file_id] = content;
    }
  };
  const std::string folder = cluster_->folder() + "/export";
  const auto run = [&](std::vector<std::string> arguments, int code) {
    const std::unique_ptr<Process> process = Launch(std::move(arguments));
    ASSERT_NE(process, nullptr);
    const auto status = process->Wait();
    ASSERT_THAT(status, IsOk());
    EXPECT_EQ(status->code, code) << process->Log();
  };
  const auto read = [&](const std::string& id) {
    std::ifstream in(absl::StrCat(folder, "/files/", id));
    std::stringstream content;
    content << in.rdbuf();
    return content.str();
  };
  const auto check = [&] {
    for (const auto& [id, content] : contents) EXPECT_EQ(read(id), content);
  };
  run({"export", folder, "--incremental"}, 2);  // Nothing to go on from.
  put(30);
  {
    // Killed somewhere in between.
    const std::unique_ptr<Process> killed =
        Launch({"export", folder, "-j", "1"});
    ASSERT_TRUE(Eventually([&] {
      return killed->ended().has_value() ||
             std::filesystem::exists(folder + "/files/group1");
    }));
    killed->Kill();
  }
  run({"export", folder}, 0);
  check();

  put(5);
  const std::string gone = contents.begin()->first;
  ASSERT_THAT(client_->Delete(gone), IsOk());
  contents.erase(gone);
  // One member may be a little behind the other.
  ASSERT_TRUE(Eventually([&] {
    Ids ids;
    for (const auto& [id, content] : contents) ids.insert(id);
    return List({"--node", "storage0"}) == ids &&
           List({"--node", "storage1"}) == ids;
  }));
  run({"export", folder, "--incremental"}, 0);
  check();

  // What is not right any more is fetched again, and is not imported.
  const std::string damaged = contents.begin()->first;
  const std::string its_path = absl::StrCat(folder, "/files/", damaged);
  std::ofstream(its_path) << "damaged!!!";
  run({"export", folder}, 0);
  check();
  std::ofstream(its_path) << "damaged!!!";
  run({"import", folder}, 5);
  EXPECT_EQ(ListIn(folder + "/import.list").size(), contents.size() - 1);
  std::ofstream(its_path) << contents.begin()->second;
  run({"import", folder}, 0);
  const std::map<std::string, std::string> imported =
      ListIn(folder + "/import.list");
  EXPECT_EQ(imported.size(), contents.size());
  EXPECT_EQ(imported.count(gone), 0u);
  for (const auto& [id, content] : contents) {
    ASSERT_EQ(imported.count(id), 1u) << id;
    client::GetOptions options;
    options.include_attributes = true;
    const auto got = client_->Get(imported.at(id), options);
    ASSERT_THAT(got, IsOk());
    EXPECT_EQ(std::string(got->content), content);
    EXPECT_EQ(absl::StrCat("content ", got->info.attributes.at("number")),
              content);
    EXPECT_TRUE(absl::EndsWith(imported.at(id), ".txt"));
  }
  run({"import", folder}, 0);
  EXPECT_EQ(ListIn(folder + "/import.list"), imported);
}

TEST_F(CatalogTest, TellsWhatIsWrong) {
  Put(3);
  const auto fails = [this](std::vector<std::string> arguments, int code,
                            const std::string& text) {
    const std::unique_ptr<Process> process = Launch(std::move(arguments));
    ASSERT_NE(process, nullptr);
    const auto status = process->Wait();
    ASSERT_THAT(status, IsOk());
    EXPECT_EQ(status->code, code) << process->Log();
    EXPECT_THAT(process->Log(), HasSubstr(text));
  };
  fails({"ls", "--group", "group7"}, 3, "group7");
  fails({"ls", "--node", "nobody"}, 3, "nobody");
  fails({"ls", "--since", "yesterday"}, 2, "yesterday");
  fails({"watch", "--from", "nonsense"}, 2, "token");
  fails({"watch", "--from", "group1=AAAA"}, 2, "resume_token");
}

}  // namespace
}  // namespace testing
}  // namespace cairn
