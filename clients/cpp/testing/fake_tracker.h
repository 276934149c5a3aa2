// A tracker that says what the test tells it, on an ephemeral port.

#ifndef CAIRN_CLIENTS_CPP_TESTING_FAKE_TRACKER_H_
#define CAIRN_CLIENTS_CPP_TESTING_FAKE_TRACKER_H_

#include <memory>
#include <string>
#include <vector>

#include "cairn/tracker/v1/cluster.pb.h"
#include "clients/cpp/testing/fake_storage.h"

namespace cairn {
namespace client {

// An ACTIVE node for `storage`; its UUID is made of its number.
tracker::v1::Node NodeOf(const FakeStorage& storage);

// Thread-safe.
class FakeTracker {
 public:
  FakeTracker();
  ~FakeTracker();

  FakeTracker(const FakeTracker&) = delete;
  FakeTracker& operator=(const FakeTracker&) = delete;

  const std::string& address() const;

  // The cluster from now on. Watchers get it as a change.
  void SetNodes(const std::vector<tracker::v1::Node>& nodes);

  // Named in the view beside this tracker.
  void AddTracker(const std::string& address);

  // Watch streams that are open, and were opened since the start.
  int watchers() const;
  int watches() const;
  void AwaitWatchers(int watchers);

  // As a killed process, then again on the same port.
  void Kill();
  void Restart();

 private:
  class Service;
  struct Server;

  const std::unique_ptr<Service> service_;
  std::unique_ptr<Server> server_;
  std::string address_;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_TESTING_FAKE_TRACKER_H_
