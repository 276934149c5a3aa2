#include "integration_tests/conformance/world.h"

#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/base/check.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

constexpr int kSites = 2;

std::array<std::unique_ptr<World>, kSites>& Worlds() {
  static auto* const worlds = new std::array<std::unique_ptr<World>, kSites>;
  return *worlds;
}

// Ends the clusters before the program does.
class WorldsEnd : public ::testing::Environment {
 public:
  void TearDown() override {
    for (std::unique_ptr<World>& world : Worlds()) world.reset();
  }
};

std::unique_ptr<client::Client> ConnectTo(std::vector<std::string> trackers,
                                          std::string storage) {
  client::ClientOptions options;
  options.trackers = std::move(trackers);
  options.storage = std::move(storage);
  options.connect_timeout = kProcessDeadline;
  options.timeout = kProcessDeadline;
  options.attempts_max = 1000;
  auto client = client::Client::Connect(options);
  CAIRN_CHECK_OK(client.status());
  return *std::move(client);
}

}  // namespace

World* World::Of(Site site) {
  static const bool added = [] {
    ::testing::AddGlobalTestEnvironment(new WorldsEnd);
    return true;
  }();
  static_cast<void>(added);
  std::unique_ptr<World>& world = Worlds()[static_cast<size_t>(site)];
  if (world == nullptr) world = std::make_unique<World>(site);
  return world.get();
}

World::World(Site site) {
  const int members = site == Site::kSingle ? 1 : 3;
  auto cluster = MiniCluster::Start({.storages = members,
                                     .members = members,
                                     .paths = site == Site::kSingle ? 2 : 1});
  CAIRN_CHECK_OK(cluster.status());
  cluster_ = *std::move(cluster);
  client_ = Connect();
  for (const std::string& address : cluster_->storage_addresses()) {
    at_.push_back(ConnectTo({}, address));
  }
  starting_.resize(at_.size());
}

client::Client* World::At(int member) {
  return at_[static_cast<size_t>(member) % at_.size()].get();
}

std::unique_ptr<client::Client> World::Connect() const {
  return ConnectTo(cluster_->tracker_addresses(), "");
}

client::Durability World::Everywhere() const {
  client::Durability durability;
  durability.replicas = static_cast<uint32_t>(members());
  durability.policy = client::ReplicaPolicy::kRequired;
  return durability;
}

void World::RestartEverything(bool kill) {
  const auto end = [kill](Daemon* daemon) {
    if (kill) {
      daemon->Kill();
    } else {
      const auto ended = daemon->Terminate();
      ASSERT_THAT(ended, IsOk());
      EXPECT_EQ(ended->ToString(), "exit 0");
    }
  };
  for (int i = 0; i < members(); ++i) end(cluster_->storage(i));
  for (int i = 0; i < cluster_->trackers(); ++i) end(cluster_->tracker(i));
  for (int i = 0; i < cluster_->trackers(); ++i) {
    ASSERT_THAT(cluster_->tracker(i)->Launch(), IsOk());
  }
  for (int i = 0; i < members(); ++i) {
    ASSERT_THAT(cluster_->storage(i)->Launch(), IsOk());
    starting_[static_cast<size_t>(i)] = true;
  }
  for (int i = 0; i < cluster_->trackers(); ++i) {
    ASSERT_THAT(cluster_->tracker(i)->AwaitReady(), IsOk());
  }
  AwaitMembers();
}

void World::KillMember(int member) {
  const size_t index = static_cast<size_t>(member) % at_.size();
  Daemon* const storage = cluster_->storage(static_cast<int>(index));
  storage->Kill();
  ASSERT_THAT(storage->Launch(), IsOk());
  starting_[index] = true;
}

void World::AwaitMembers() {
  for (size_t i = 0; i < starting_.size(); ++i) {
    if (!starting_[i]) continue;
    ASSERT_THAT(cluster_->storage(static_cast<int>(i))->AwaitReady(), IsOk());
    starting_[i] = false;
  }
}

void Expectations::File(const std::string& file_id, std::string content,
                        absl::optional<Attributes> attributes) {
  files_[file_id] = {false, std::move(content), std::move(attributes),
                     ErrorReason::kUnspecified};
}

void Expectations::Changed(const std::string& file_id, std::string content,
                           absl::optional<Attributes> attributes) {
  File(file_id, std::move(content), std::move(attributes));
  files_[file_id].changed = true;
}

void Expectations::Gone(const std::string& file_id, ErrorReason reason) {
  files_[file_id] = {true, "", absl::nullopt, reason};
}

std::string Expectations::Compare(int member, const std::string& file_id,
                                  const Expected& expected) const {
  client::GetOptions options;
  options.include_attributes = expected.attributes.has_value();
  const auto got = world_->At(member)->Get(file_id, options);
  if (expected.gone != ErrorReason::kUnspecified) {
    if (got.ok()) return "it is there";
    return ReasonOf(got.status()) == expected.gone ? ""
                                                   : got.status().ToString();
  }
  if (!got.ok()) return got.status().ToString();
  if (got->content != expected.content) {
    return absl::StrCat("other content: ", got->content.size(),
                        " bytes instead of ", expected.content.size());
  }
  if (got->info.size_bytes != static_cast<int64_t>(expected.content.size())) {
    return absl::StrCat("says that it has ", got->info.size_bytes, " bytes");
  }
  if (expected.attributes.has_value() &&
      got->info.attributes != *expected.attributes) {
    return absl::StrCat("other attributes: ", got->info.attributes.size(),
                        " instead of ", expected.attributes->size());
  }
  return "";
}

void Expectations::Check() const {
  for (const auto& [file_id, expected] : files_) {
    for (int member = 0; member < world_->members(); ++member) {
      const absl::Time deadline = absl::Now() + kProcessDeadline;
      std::string wrong = Compare(member, file_id, expected);
      while (!wrong.empty() && expected.changed && absl::Now() < deadline) {
        absl::SleepFor(absl::Milliseconds(20));
        wrong = Compare(member, file_id, expected);
      }
      EXPECT_EQ(wrong, "") << file_id << " at member " << member;
    }
  }
}

}  // namespace testing
}  // namespace cairn
