// The clusters that the cases run against, and what must be true of the files
// in them in the end.
//
//   World* world = World::Of(Site::kGroup);
//   Expectations expected(world);
//   … expected.File(id, content) … expected.Gone(id, reason) …
//   expected.Check();        at each member, read from that member alone
//
// For the test's main thread.

#ifndef CAIRN_INTEGRATION_TESTS_CONFORMANCE_WORLD_H_
#define CAIRN_INTEGRATION_TESTS_CONFORMANCE_WORLD_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "clients/cpp/client.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace testing {

enum class Site {
  kSingle,  // One storage of two store paths.
  kGroup,   // Three members.
};

// A running cluster, and clients of it that wait for whatever comes back.
class World {
 public:
  // One for each site; made when it is asked for first. Ends with the tests.
  static World* Of(Site site);

  explicit World(Site site);

  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int members() const { return cluster_->storages(); }
  MiniCluster* cluster() { return cluster_.get(); }

  // Follows the cluster, as programs do.
  client::Client* client() { return client_.get(); }

  // Asks one member and nobody else; of `member` modulo members().
  client::Client* At(int member);

  // Another one for each call.
  client::Client* Next() { return At(next_++); }

  // One more that follows the cluster.
  std::unique_ptr<client::Client> Connect() const;

  // A change that all members have before it is acknowledged.
  client::Durability Everywhere() const;

  // All processes are killed with -9, or stopped, and started again.
  void RestartEverything(bool kill);

  // Kills one member with -9 and starts it again without waiting.
  void KillMember(int member);

  // Waits until every member has started that was killed.
  void AwaitMembers();

 private:
  std::unique_ptr<MiniCluster> cluster_;
  std::unique_ptr<client::Client> client_;
  std::vector<std::unique_ptr<client::Client>> at_;  // Of each member.
  std::vector<bool> starting_;                       // Of each member.
  int next_ = 0;
};

// What files must be.
class Expectations {
 public:
  explicit Expectations(World* world) : world_(world) {}

  // Has this content, and these attributes if they are given. A file that was
  // never changed can be read at every member at once; of one that was, members
  // may be behind for a while.
  void File(const std::string& file_id, std::string content,
            absl::optional<Attributes> attributes = {});
  void Changed(const std::string& file_id, std::string content,
               absl::optional<Attributes> attributes = {});

  // Is not found, for this reason.
  void Gone(const std::string& file_id, ErrorReason reason);

  // Fails the test where something is otherwise.
  void Check() const;

 private:
  struct Expected {
    bool changed = false;
    std::string content;
    absl::optional<Attributes> attributes;
    ErrorReason gone = ErrorReason::kUnspecified;
  };

  // Empty, or what is wrong at a member.
  std::string Compare(int member, const std::string& file_id,
                      const Expected& expected) const;

  World* const world_;
  std::map<std::string, Expected> files_;
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CONFORMANCE_WORLD_H_
