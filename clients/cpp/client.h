// The client of a Cairn cluster: stores, reads, looks up and deletes files.
//
//   auto client = cairn::client::Client::Connect({.trackers = {"t1:7700"}});
//   auto put = (*client)->Put("hello", {.extension = "txt"});
//   auto get = (*client)->Get(put->info.file_id);
//
// It follows the cluster in the background (WatchCluster), chooses nodes by
// itself with the trackers' own policy, and goes on with the last view when no
// tracker answers. Calls are repeated, with backoff and at other members, until
// they succeed, fail for good or run out of time; a repeated change happens
// once, because it carries its request_id. All content is checked end to end by
// CRC-32C in both directions.
//
// Small operations that happen to wait at the same time share messages on one
// stream to their node; a lone one leaves at once. So many calls at a time,
// from threads or by the ...Async() forms, are much cheaper than one by one.

#ifndef CAIRN_CLIENTS_CPP_CLIENT_H_
#define CAIRN_CLIENTS_CPP_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clients/cpp/types.h"
#include "lib/placement/cluster_model.h"
#include "lib/rpc/tls_files.h"

namespace cairn {
namespace client {

struct ClientOptions {
  // Addresses `host:port` of trackers; any one that answers is enough. Either
  // these or `storage`.
  std::vector<std::string> trackers = {};

  // Address of one storage node to use without trackers.
  std::string storage = {};

  // If the cluster has TLS: at least `ca_file`; certificate_file and key_file
  // where it asks for clients' certificates. Empty: plain text.
  rpc::TlsOptions tls = {};

  // Zone of this process, for policies that prefer what is near. May be empty.
  std::string zone = {};

  // How long Connect() may wait for the first tracker's view.
  absl::Duration connect_timeout = absl::Seconds(5);

  // For an operation that names no timeout: small ones (Put of a buffer, Get
  // into memory, Stat, Delete), with all repetitions.
  absl::Duration timeout = absl::Seconds(30);

  // A large transfer that moves no byte for so long is broken off and repeated
  // (a download from where it stood).
  absl::Duration stall_timeout = absl::Seconds(30);

  // How often one operation is tried, 1 and up.
  int attempts_max = 8;

  // Wait before the second repetition at the same node; grows 1.6-fold each
  // time up to the maximum, with jitter.
  absl::Duration backoff = absl::Milliseconds(50);
  absl::Duration backoff_max = absl::Seconds(3);

  // Files up to this size travel as items of a shared stream, larger ones on
  // streams of their own. At most 1 MiB, which is the servers' limit.
  int64_t small_file_bytes_max = 256 << 10;

  // What one message of the shared stream may carry.
  size_t batch_bytes_max = 512 << 10;
  size_t batch_items_max = 256;

  // Operations and content bytes that may wait for one node; above, a call
  // fails at once with RESOURCE_EXHAUSTED (OVERLOADED).
  size_t waiting_operations_max = 100000;
  size_t waiting_bytes_max = 512 << 20;

  // Content bytes in one message of a stream of its own, 4 KiB to 2 MiB.
  int32_t chunk_bytes = 512 << 10;

  // Threads for the Async forms of large transfers.
  int transfer_threads = 8;

  // Connections to each node for large transfers.
  int bulk_connections = 2;
};

// Errors of all calls that go to a node, besides those named:
//
//   INVALID_ARGUMENT    a field is malformed. Fix the call.
//   NOT_FOUND           FILE_NOT_FOUND, FILE_DELETED, FILE_EXPIRED;
//                       UNKNOWN_GROUP.
//   RESOURCE_EXHAUSTED  DISK_FULL, NO_WRITABLE_NODE: every place that may take
//                       the file is full. QUOTA_EXCEEDED: the same, by what
//                       operators let it hold. OVERLOADED: too much at once.
//   UNAVAILABLE         no node that could do it answers, after all attempts.
//   DEADLINE_EXCEEDED   `timeout` passed. A change may have happened: repeat it
//                       with the same request_id to know.
//   DATA_LOSS           CONTENT_DAMAGED on the node, or what arrived is not
//   what
//                       was stored (CHECKSUM_MISMATCH), and no member has a
//                       good copy.
//   CANCELLED           Cancel() was called or the client destroyed.
//
// Thread-safe. Callbacks run exactly once, on a thread of the client or inside
// the call; they must not block and must not destroy the client.
class Client {
 public:
  template <typename T>
  using Callback = absl::AnyInvocable<void(absl::StatusOr<T>)>;

  // Waits for the cluster's view; with `storage`, returns without any contact.
  //   INVALID_ARGUMENT  no address, or both kinds.
  //   UNAVAILABLE       no tracker answered in time; the message names each.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(ClientOptions options);

  // Answers what is still open with CANCELLED and waits for its callbacks.
  // Blocking calls of other threads must have returned.
  virtual ~Client() = default;

  // Stores a file. `content` of a Cord is referenced, that of a string copied.
  // Errors of a file that is derived from another one (this call and the next
  // ones):
  //   INVALID_ARGUMENT  WRONG_KIND: the master is derived itself.
  //   ALREADY_EXISTS    FILE_EXISTS: a file of that name is there with another
  //                     content. With the same content the call is answered as
  //                     a repeated one.
  virtual absl::StatusOr<PutResult> Put(absl::string_view content,
                                        const PutOptions& options = {}) = 0;
  virtual absl::StatusOr<PutResult> Put(const absl::Cord& content,
                                        const PutOptions& options = {}) = 0;
  virtual void PutAsync(absl::Cord content, const PutOptions& options,
                        Callback<PutResult> done) = 0;

  // Stores the file at `path`. Errors besides: those of opening and reading it.
  virtual absl::StatusOr<PutResult> PutFile(absl::string_view path,
                                            const PutOptions& options = {}) = 0;
  virtual void PutFileAsync(absl::string_view path, const PutOptions& options,
                            Callback<PutResult> done) = 0;

  // Stores what `reader` gives until its end. `size_bytes`, if known, lets full
  // places be passed over; other lengths fail with INVALID_ARGUMENT
  // (SIZE_MISMATCH).
  virtual absl::StatusOr<PutResult> PutFrom(ContentReader* reader,
                                            absl::optional<int64_t> size_bytes,
                                            const PutOptions& options = {}) = 0;

  // Stores the file at `path` in parts, over several streams at once, and so
  // that another process can go on where this one ended. The upload lies at one
  // node until it is finished: what happens to that node is waited for as long
  // as repetitions last. Errors besides those of PutFile():
  //   NOT_FOUND            UPLOAD_NOT_FOUND: `resume` is not known any more, or
  //                        its node has left the cluster. Begin a new one.
  //   FAILED_PRECONDITION  UPLOAD_CONTENT_DIFFERS: the file has changed since
  //                        the upload was begun. Begin a new one.
  //   RESOURCE_EXHAUSTED   TOO_MANY_UPLOADS.
  // After any other error, and after CANCELLED, the same call with `resume`
  // goes on.
  virtual absl::StatusOr<PutResult> PutFileResumable(
      absl::string_view path, const ResumableOptions& options) = 0;
  virtual void PutFileResumableAsync(absl::string_view path,
                                     const ResumableOptions& options,
                                     Callback<PutResult> done) = 0;

  // Removes an upload that PutFileResumable() began and nobody finished, and
  // what has arrived of it. Blocks.
  //   NOT_FOUND         UPLOAD_NOT_FOUND: it is not there any more, perhaps
  //                     since an earlier attempt of this call.
  //   INVALID_ARGUMENT  it is not the ID of an upload.
  //   ABORTED           UPLOAD_RANGE_BUSY: it is being finished.
  virtual absl::Status AbortUpload(
      absl::string_view upload_id,
      absl::optional<absl::Duration> timeout = absl::nullopt) = 0;

  // Reads a file, or the range in `options`, into memory.
  //   OUT_OF_RANGE  RANGE_PAST_END.
  virtual absl::StatusOr<GetResult> Get(absl::string_view file_id,
                                        const GetOptions& options = {}) = 0;
  virtual void GetAsync(absl::string_view file_id, const GetOptions& options,
                        Callback<GetResult> done) = 0;

  // Reads into the file `path`, which is replaced at the end, synced, and only
  // when all is there and right; meanwhile the bytes are in a file beside it.
  virtual absl::StatusOr<FileInfo> GetToFile(
      absl::string_view file_id, absl::string_view path,
      const GetOptions& options = {}) = 0;
  virtual void GetToFileAsync(absl::string_view file_id, absl::string_view path,
                              const GetOptions& options,
                              Callback<FileInfo> done) = 0;

  // Reads into `sink`. The whole file's CRC can be known only at the end: on
  // DATA_LOSS the sink has taken bytes that are not right.
  virtual absl::StatusOr<FileInfo> GetTo(absl::string_view file_id,
                                         ContentSink* sink,
                                         const GetOptions& options = {}) = 0;

  // Returns what is known of a file; with StatOptions::include_attributes its
  // attributes, too, and with include_replicas which members have it.
  virtual absl::StatusOr<FileInfo> Stat(absl::string_view file_id,
                                        const StatOptions& options = {}) = 0;
  virtual void StatAsync(absl::string_view file_id, const StatOptions& options,
                         Callback<FileInfo> done) = 0;

  // Changes the attributes of a file, whose content stays: it gets a new
  // version. Of changes by several callers at the same time the last one
  // counts, as a whole, if they went to several members; this client goes to
  // the member that took the file, as long as that can be reached.
  //   INVALID_ARGUMENT     TOO_LARGE: beyond a limit of lib/attributes.
  //   FAILED_PRECONDITION  VERSION_MISMATCH: see SetAttributesOptions.
  virtual absl::StatusOr<SetAttributesResult> SetAttributes(
      absl::string_view file_id, const AttributeChange& change,
      const SetAttributesOptions& options = {}) = 0;
  virtual void SetAttributesAsync(absl::string_view file_id,
                                  const AttributeChange& change,
                                  const SetAttributesOptions& options,
                                  Callback<SetAttributesResult> done) = 0;

  // Names the files that are derived from a file, which may be deleted itself,
  // as far as the member that answers has them.
  //   INVALID_ARGUMENT  WRONG_KIND: it is a derived file.
  virtual absl::StatusOr<ListDerivedResult> ListDerived(
      absl::string_view file_id, const ListDerivedOptions& options = {}) = 0;

  // Says when a file of any kind expires, or that it never does. It gets a new
  // version; as SetAttributes() else.
  //   INVALID_ARGUMENT  INVALID_FIELD: the time has passed.
  //   NOT_FOUND         FILE_EXPIRED: what has expired stays so.
  virtual absl::StatusOr<SetExpiryResult> SetExpiry(
      absl::string_view file_id, const Lifetime& lifetime,
      const SetExpiryOptions& options = {}) = 0;

  // Makes a normal file with a new ID of the content that a normal or a derived
  // file has, in the same group. A large content is shared by the two, and not
  // copied; either may be deleted first. Blocks.
  //   FAILED_PRECONDITION  WRONG_KIND: it is an appender; seal it first.
  virtual absl::StatusOr<CopyResult> Copy(absl::string_view file_id,
                                          const CopyOptions& options = {}) = 0;

  // Deletes a file.
  //   NOT_FOUND  FILE_DELETED: it is deleted; with `purge`: and nothing of it
  //              is kept.
  virtual absl::StatusOr<DeleteResult> Delete(
      absl::string_view file_id, const DeleteOptions& options = {}) = 0;
  virtual void DeleteAsync(absl::string_view file_id,
                           const DeleteOptions& options,
                           Callback<DeleteResult> done) = 0;

  // Brings a deleted file back as it was, but for its version. Blocks.
  //   NOT_FOUND       FILE_DELETED: its content is not kept any more.
  //                   FILE_SEALED: it is another file now.
  //   ALREADY_EXISTS  FILE_EXISTS: it is not deleted.
  //   UNAVAILABLE     CONTENT_NOT_HERE: no member that answers has kept its
  //                   content.
  virtual absl::StatusOr<UndeleteResult> Undelete(
      absl::string_view file_id, const UndeleteOptions& options = {}) = 0;

  // Bytes that one of the calls below takes.
  static constexpr int64_t kUpdateBytesMax = 1 << 20;

  // Makes a file that can be changed, with `content` to begin with. Blocks, as
  // all that follow but the Async form.
  //   INVALID_ARGUMENT  TOO_LARGE: make it with less and append the rest.
  virtual absl::StatusOr<PutResult> CreateAppender(
      absl::string_view content, const PutOptions& options = {}) = 0;

  // Adds `content` to the end, as one piece that nothing comes between. Errors
  // of this and the next three, which the node where the file was created
  // answers alone:
  //   INVALID_ARGUMENT     TOO_LARGE: use several calls, and a condition if
  //                        nothing may come between them.
  //   FAILED_PRECONDITION  NOT_AN_APPENDER.
  //   ABORTED              CONDITION_FAILED.
  //   UNAVAILABLE          ORIGIN_DOWN: that node is down.
  virtual absl::StatusOr<UpdateResult> Append(
      absl::string_view file_id, absl::string_view content,
      const UpdateOptions& options = {}) = 0;

  // Calls that are under way for one file at once follow each other in any
  // order.
  virtual void AppendAsync(absl::string_view file_id, absl::Cord content,
                           const UpdateOptions& options,
                           Callback<UpdateResult> done) = 0;

  // Puts `content` in place of what is at `offset`, and past the end.
  //   OUT_OF_RANGE  RANGE_PAST_END: `offset` is larger than the size.
  virtual absl::StatusOr<UpdateResult> Modify(
      absl::string_view file_id, int64_t offset, absl::string_view content,
      const UpdateOptions& options = {}) = 0;

  // Cuts the file off, or adds zeros.
  virtual absl::StatusOr<UpdateResult> Truncate(
      absl::string_view file_id, int64_t size_bytes,
      const UpdateOptions& options = {}) = 0;

  // Makes a normal file of it, with a new ID that says size and CRC, and with
  // its attributes; no byte is copied. The old ID is NOT_FOUND with FILE_SEALED
  // from then on, for a day at least, and the metadata has the new one
  // (`file_id`).
  virtual absl::StatusOr<UpdateResult> Seal(
      absl::string_view file_id, const UpdateOptions& options = {}) = 0;

  // Ends what is open, and refuses what comes, with CANCELLED; for good. May be
  // called from any thread, but not from a callback.
  virtual void Cancel() = 0;

  // The cluster as it was last heard of. With `storage`: one node, of whose
  // group nothing is known.
  virtual std::shared_ptr<const ClusterModel> cluster() const = 0;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_CLIENT_H_
