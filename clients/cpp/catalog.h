// Lists the files of a group, and watches what becomes of them. For operators'
// programs, indexers, exports: calls carry a proof that the caller knows the
// cluster secret.
//
//   Catalog ── ListFiles ──▶ member ─▶ pages ─▶ on_page
//      └─ it dies ─▶ the next member, from behind the last page
//
// All members of a group have the same files, so one is asked at a time.

#ifndef CAIRN_CLIENTS_CPP_CATALOG_H_
#define CAIRN_CLIENTS_CPP_CATALOG_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/types.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace rpc {
class Tls;
}  // namespace rpc

namespace client {

class RawCall;

struct CatalogOptions {
  // `host:port` of members of one group, the best first; at least one.
  std::vector<std::string> members = {};

  std::string cluster_secret = {};
  std::string cluster_id = {};  // A UUID in canonical text form.

  // Null: plain text.
  std::shared_ptr<const rpc::Tls> tls = nullptr;

  // A member that sends nothing for so long is given up.
  absl::Duration stall_timeout = absl::Seconds(30);

  // How long members are asked in turn while none of them gets anywhere.
  absl::Duration patience = absl::Seconds(30);

  // Told of each failure after which another member, or the same one again, is
  // asked. May be empty.
  std::function<void(const std::string& member, const absl::Status& status)>
      on_failure = {};
};

// As cairn.storage.v1.ListFilesRequest.
struct ListQuery {
  absl::optional<uint32_t> store_path = {};
  std::string prefix = {};
  absl::optional<absl::Time> created_from = {};
  absl::optional<absl::Time> created_before = {};
  absl::optional<FileKind> kind = {};
  Attributes attributes = {};
  bool include_attributes = false;
  std::string page_token = {};
  uint64_t limit = 0;  // 0: none.
};

struct ListPage {
  std::vector<FileInfo> files = {};

  // Where the files behind these begin, at any member; empty: there are none.
  std::string next_page_token = {};

  // Of the first page: where a watch has to begin for what happens to files
  // after they were listed.
  std::string watch_token = {};
};

// As cairn.storage.v1.WatchFilesRequest.
struct WatchQuery {
  std::string resume_token = {};
  absl::optional<uint32_t> store_path = {};
  bool include_attributes = false;
  bool until_now = false;
};

struct FileEvent {
  enum class Kind { kCreated = 1, kChanged = 2, kDeleted = 3 };
  Kind kind = Kind::kCreated;
  FileInfo file = {};
};

struct WatchBatch {
  std::vector<FileEvent> events = {};  // None: a sign of life.
  std::string resume_token = {};
};

// An upload in parts that is not finished.
struct OpenUpload {
  std::string upload_id = {};  // Whoever has it may write to the upload.
  uint32_t node_number = 0;
  uint32_t store_path = 0;
  absl::optional<int64_t> size_bytes = {};  // If it is known.
  int64_t received_bytes = 0;
  std::string extension = {};
  std::string owner = {};  // Identity of the client that began it; or empty.
  absl::Time create_time = {};
  absl::Time expire_time = {};  // Removed then, unless something is written.
};

// One thread at a time calls, but for Cancel(). All block.
class Catalog {
 public:
  explicit Catalog(CatalogOptions options);
  ~Catalog();

  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  // Gives each page to `on_page`, until the end or until that returns false.
  // Every file that is there from beginning to end is in one page.
  //   INVALID_ARGUMENT   a field is malformed.
  //   UNAUTHENTICATED    NOT_A_MEMBER: another secret.
  //   NOT_FOUND          UNKNOWN_STORE_PATH.
  //   UNAVAILABLE        no member gets anywhere.
  //   CANCELLED          Cancel() was called.
  absl::Status List(const ListQuery& query,
                    const std::function<bool(const ListPage&)>& on_page);

  // Gives what happens to `on_batch` until that returns false, or, with
  // `until_now`, to the end. Each change is in a batch at least once. Errors as
  // List(), and
  //   OUT_OF_RANGE       LOG_CUT: no member keeps the changes from there on.
  absl::Status Watch(const WatchQuery& query,
                     const std::function<bool(const WatchBatch&)>& on_batch);

  // The uploads that are open at the first member that answers, which alone has
  // them; the oldest first. Errors as List().
  absl::StatusOr<std::vector<OpenUpload>> ListUploads(
      absl::optional<uint32_t> store_path);

  // Ends what is under way, and refuses what comes; for good. Any thread.
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Member;

  using OnMessage = std::function<absl::StatusOr<bool>(absl::string_view)>;

  // Makes calls until one ends well or none gets anywhere. `request` is made
  // anew for each; `on_message` says whether to go on.
  absl::Status Run(const char* method,
                   const std::function<std::string()>& request,
                   const OnMessage& on_message);
  absl::Status CallOnce(Member* member, const char* method,
                        const std::string& request, const OnMessage& on_message,
                        bool* moved);
  bool Pause(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mu_);

  const CatalogOptions options_;
  std::vector<std::unique_ptr<Member>> members_;
  size_t at_ = 0;  // Of the members.

  Mutex mu_;
  CondVar cancelled_changed_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  RawCall* call_ ABSL_GUARDED_BY(mu_) = nullptr;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_CATALOG_H_
