// One attempt to be attached to one tracker: a stream from its challenge to its
// end. MembershipService.Attach says what goes over it.

#ifndef CAIRN_SERVICES_STORAGE_ATTACH_ATTACH_CALL_H_
#define CAIRN_SERVICES_STORAGE_ATTACH_ATTACH_CALL_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cairn/tracker/v1/cluster.pb.h"
#include "cairn/tracker/v1/membership_service.pb.h"

namespace cairn {
namespace rpc {
class Tls;
}  // namespace rpc

namespace storage {

// Told what happens on the stream, on gRPC threads, one after the other, with
// no lock held. Must not block.
class AttachListener {
 public:
  virtual ~AttachListener() = default;

  // The tracker has proved to be one and knows the node now. `suspect_after`
  // is how long it bears silence.
  virtual void OnAttached(absl::Duration suspect_after) = 0;

  virtual void OnPeers(const tracker::v1::GroupPeers& peers) = 0;

  // The last call; the AttachCall may be destroyed from now on, but not by
  // this. OK if the node said goodbye.
  virtual void OnEnded(const absl::Status& status) = 0;
};

// Thread-safe. To be destroyed after OnEnded() and never on a gRPC thread: with
// the last channel of a process gRPC joins those threads.
class AttachCall {
 public:
  virtual ~AttachCall() = default;

  // Sends the report once what is under way is written; only the newest waits.
  // Does nothing before OnAttached() and after OnEnded().
  virtual void Send(const tracker::v1::NodeReport& report) = 0;

  // Sends a last report and ends the stream from this side.
  virtual void SayGoodbye(const tracker::v1::NodeReport& report) = 0;

  // Ends the stream now. OnEnded() follows.
  virtual void Cancel() = 0;
};

// Connects anew, so that the tracker's name is looked up again. `first_report`
// goes with the hello. `tls` may be null, for plain text. `listener` is
// borrowed until OnEnded() returns.
std::unique_ptr<AttachCall> StartAttachCall(
    absl::string_view tracker, const tracker::v1::NodeIdentity& identity,
    const tracker::v1::NodeReport& first_report,
    absl::string_view cluster_secret, std::shared_ptr<const rpc::Tls> tls,
    AttachListener* listener);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_ATTACH_ATTACH_CALL_H_
