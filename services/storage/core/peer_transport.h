// How a store path reaches the same path of the other members of its group.
// The real one is services/storage/sync; tests have one in memory.
//
//   StartSync, StartSnapshot   a stream: OnBatch … Next … OnBatch … OnEnd
//   StartFetch                 the same, of a content
//   StartDigest                the same, of what the peer has
//   SendAck                    one message, one answer
//
// Listeners are called on the transport's threads, one call at a time for each
// stream, with no lock of theirs or of the transport's held, and must not
// block. OnEnd() is the last call; a stream may be destroyed from then on, but
// not by its listener.

#ifndef CAIRN_SERVICES_STORAGE_CORE_PEER_TRANSPORT_H_
#define CAIRN_SERVICES_STORAGE_CORE_PEER_TRANSPORT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/uuid.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// Another member of the group.
struct Peer {
  Uuid node_uuid;
  uint32_t node_number = 0;
  std::string name;     // For people.
  std::string address;  // A hint that may change at any time.

  friend bool operator==(const Peer& a, const Peer& b) {
    return a.node_uuid == b.node_uuid && a.node_number == b.node_number &&
           a.name == b.name && a.address == b.address;
  }
};

// Changes of one log, or none.
struct SyncBatch {
  LogId log;
  std::vector<ReplicatedChange> changes;

  // How far the sender has logs; empty if it does not say.
  std::vector<LogRange> logs;

  // What the sender's clock says; unset if it does not say. With `logs`.
  absl::optional<absl::Time> sent;

  // Somebody there waits for the acknowledgement of these; or of them synced.
  bool ack_wanted = false;
  bool sync_wanted = false;
};

// A part of a snapshot.
struct SnapshotBatch {
  std::vector<LogRange> logs;  // In the first: where it began,
  uint64_t files_total = 0;    // and files of the sender.
  std::vector<ReplicatedChange> changes;
  std::string next;
  bool end = false;
};

// What a peer has in a range of names: RangeDigest in sync_service.proto.
struct DigestRange {
  std::string until;  // Cursor; empty: to the end of what was asked for.
  uint64_t names = 0;
  uint64_t digest = 0;
};

// A part of what a peer has: ranges, or what it knows of each name.
struct DigestBatch {
  std::vector<LogRange> logs;  // In the first: how far it has logs.
  std::vector<DigestRange> ranges;
  std::vector<ReplicatedChange> changes;  // As kSnapshot, without contents.
  std::string next;                       // Of `changes`: as far as they go.
  bool end = false;
};

class SyncListener {
 public:
  virtual ~SyncListener() = default;
  virtual void OnBatch(SyncBatch batch) = 0;
  virtual void OnEnd(const absl::Status& status) = 0;
};

class SnapshotListener {
 public:
  virtual ~SnapshotListener() = default;
  virtual void OnBatch(SnapshotBatch batch) = 0;
  virtual void OnEnd(const absl::Status& status) = 0;
};

class FetchListener {
 public:
  virtual ~FetchListener() = default;

  // Of FetchWish::info_only, before OnInfo(): the peer has no content of it.
  virtual void OnContentMissing() {}

  // The first call but for that, unless the stream ends at once.
  virtual void OnInfo(const FileInfo& info) = 0;

  // The next bytes; their CRC was checked.
  virtual void OnChunk(absl::Cord data) = 0;
  virtual void OnEnd(const absl::Status& status) = 0;
};

class DigestListener {
 public:
  virtual ~DigestListener() = default;
  virtual void OnBatch(DigestBatch batch) = 0;
  virtual void OnEnd(const absl::Status& status) = 0;
};

// A stream. Thread-safe.
class PeerStream {
 public:
  virtual ~PeerStream() = default;

  // The listener is ready for the next message; called once for each, the first
  // one included. Messages that nobody asked for are not taken from the
  // network.
  virtual void Next() = 0;

  // Ends it soon; OnEnd() follows.
  virtual void Cancel() = 0;
};

// How far this path is, for the others.
struct Acknowledgement {
  std::vector<LogRange> logs;

  // Applied, but for their contents.
  std::vector<LogPosition> missing;
};

struct FetchWish {
  std::string name;
  absl::optional<Version> version;

  // With `version`: the member may have a later one that begins with it.
  absl::optional<FileState> state;
  int64_t offset = 0;
  absl::optional<int64_t> length;

  // Only what the peer knows itself of the file, whatever its clock says; the
  // rest does not count.
  bool info_only = false;
};

struct DigestWish {
  std::string from;   // Cursor of the index; empty: from the first name.
  std::string until;  // The same; empty: to the last one.
  bool entries = false;
};

// Thread-safe; nothing here blocks. Listeners are borrowed until OnEnd().
class PeerTransport {
 public:
  virtual ~PeerTransport() = default;

  // `log` unset: the peer's own. `have` is how far this path is.
  virtual std::shared_ptr<PeerStream> StartSync(
      const Peer& peer, uint8_t store_path, const absl::optional<LogId>& log,
      const std::vector<LogRange>& have, SyncListener* listener) = 0;

  virtual std::shared_ptr<PeerStream> StartSnapshot(
      const Peer& peer, uint8_t store_path, const std::string& from,
      SnapshotListener* listener) = 0;

  virtual std::shared_ptr<PeerStream> StartFetch(const Peer& peer,
                                                 uint8_t store_path,
                                                 const FetchWish& wish,
                                                 FetchListener* listener) = 0;

  // Null if members cannot be compared over this transport.
  virtual std::shared_ptr<PeerStream> StartDigest(const Peer& peer,
                                                  uint8_t store_path,
                                                  const DigestWish& wish,
                                                  DigestListener* listener) {
    static_cast<void>(peer);
    static_cast<void>(store_path);
    static_cast<void>(wish);
    static_cast<void>(listener);
    return nullptr;
  }

  virtual void SendAck(const Peer& peer, uint8_t store_path,
                       const Acknowledgement& acknowledgement,
                       std::function<void(const absl::Status&)> done) = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_PEER_TRANSPORT_H_
