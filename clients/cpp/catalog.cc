#include "clients/cpp/catalog.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "cairn/storage/v1/catalog_service.pb.h"
#include "clients/cpp/file_info_codec.h"
#include "clients/cpp/raw_call.h"
#include "clients/cpp/retry.h"
#include "clients/cpp/timer.h"
#include "clients/cpp/wire_format.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/member_auth.h"
#include "lib/rpc/member_proof.h"

namespace cairn {
namespace client {
namespace {

namespace pb = ::cairn::storage::v1;

constexpr char kListMethod[] = "/cairn.storage.v1.CatalogService/ListFiles";
constexpr char kWatchMethod[] = "/cairn.storage.v1.CatalogService/WatchFiles";

constexpr char kUploadsMethod[] =
    "/cairn.storage.v1.CatalogService/ListUploads";

constexpr absl::Duration kBackoff = absl::Milliseconds(100);
constexpr absl::Duration kBackoffMax = absl::Seconds(3);

// Messages that are read ahead.
constexpr size_t kWindow = 2;

// About what a page has, of 256 KiB.
constexpr size_t kFilesReserved = 2048;

absl::Status Malformed() {
  return absl::InternalError("the member's answer is not parseable");
}

void SetTimestamp(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

pb::ListFilesRequest ToProto(const ListQuery& query) {
  pb::ListFilesRequest request;
  if (query.store_path.has_value()) request.set_store_path(*query.store_path);
  request.set_prefix(query.prefix);
  if (query.created_from.has_value()) {
    SetTimestamp(*query.created_from, request.mutable_created_from());
  }
  if (query.created_before.has_value()) {
    SetTimestamp(*query.created_before, request.mutable_created_before());
  }
  if (query.kind.has_value()) {
    request.set_kind(static_cast<common::v1::FileKind>(*query.kind));
  }
  for (const auto& [key, value] : query.attributes) {
    common::v1::Attribute* const attribute = request.add_attributes();
    attribute->set_key(key);
    attribute->set_value(value);
  }
  request.set_include_attributes(query.include_attributes);
  request.set_page_token(query.page_token);
  request.set_limit(query.limit);
  return request;
}

bool ParsePage(absl::string_view bytes, ListPage* page) {
  page->files.reserve(kFilesReserved);
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    absl::string_view value;
    if (!reader.ReadTag(&tag)) return false;
    switch (tag) {
      case Tag(1, WireType::kBytes):
        page->files.emplace_back();
        if (!reader.ReadBytes(&value) ||
            !ParseFileInfo(value, &page->files.back())) {
          return false;
        }
        break;
      case Tag(2, WireType::kBytes):
        if (!reader.ReadBytes(&value)) return false;
        page->next_page_token = std::string(value);
        break;
      case Tag(3, WireType::kBytes):
        if (!reader.ReadBytes(&value)) return false;
        page->watch_token = std::string(value);
        break;
      default:
        if (!reader.Skip(tag)) return false;
    }
  }
  return true;
}

bool ParseEvent(absl::string_view bytes, FileEvent* event) {
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    uint64_t number;
    absl::string_view value;
    if (!reader.ReadTag(&tag)) return false;
    switch (tag) {
      case Tag(1, WireType::kVarint):
        if (!reader.ReadVarint(&number) || number < 1 || number > 3) {
          return false;
        }
        event->kind = static_cast<FileEvent::Kind>(number);
        break;
      case Tag(2, WireType::kBytes):
        if (!reader.ReadBytes(&value) || !ParseFileInfo(value, &event->file)) {
          return false;
        }
        break;
      default:
        if (!reader.Skip(tag)) return false;
    }
  }
  return !event->file.file_id.empty();
}

bool ParseBatch(absl::string_view bytes, WatchBatch* batch) {
  WireReader reader(bytes);
  while (!reader.AtEnd()) {
    uint32_t tag;
    absl::string_view value;
    if (!reader.ReadTag(&tag)) return false;
    switch (tag) {
      case Tag(1, WireType::kBytes):
        batch->events.emplace_back();
        if (!reader.ReadBytes(&value) ||
            !ParseEvent(value, &batch->events.back())) {
          return false;
        }
        break;
      case Tag(2, WireType::kBytes):
        if (!reader.ReadBytes(&value)) return false;
        batch->resume_token = std::string(value);
        break;
      default:
        if (!reader.Skip(tag)) return false;
    }
  }
  return true;
}

// What another member may do better: it is there, or keeps more.
bool IsWorthAnotherMember(const absl::Status& status) {
  return AdviceFor(status, Intent::kRead).repeat ||
         absl::IsDeadlineExceeded(status) ||  // Of the handshake.
         ReasonOf(status) == ErrorReason::kLogCut;
}

}  // namespace

struct Catalog::Member {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<rpc::MemberAuthClient> auth;
};

Catalog::Catalog(CatalogOptions options) : options_(std::move(options)) {
  CAIRN_CHECK(!options_.members.empty());
  for (const std::string& address : options_.members) {
    auto member = std::make_unique<Member>();
    member->address = address;
    rpc::ChannelOptions channel;
    channel.tls = options_.tls;
    channel.user_agent = "cairn-client";
    channel.own_connection = true;
    member->channel = rpc::MakeChannel(address, channel);
    rpc::MemberAuthClientOptions auth;
    auth.cluster_secret = options_.cluster_secret;
    auth.cluster_id = options_.cluster_id;
    auth.node_uuid = Uuid::Random().ToString();
    member->auth = std::make_unique<rpc::MemberAuthClient>(member->channel,
                                                           auth, Clock::Real());
    members_.push_back(std::move(member));
  }
}

Catalog::~Catalog() = default;

void Catalog::Cancel() {
  MutexLock lock(&mu_);
  cancelled_ = true;
  if (call_ != nullptr) call_->Cancel();
  cancelled_changed_.SignalAll();
}

bool Catalog::Pause(absl::Duration duration) {
  const absl::Duration until = MonotonicNow() + duration;
  MutexLock lock(&mu_);
  while (!cancelled_) {
    const absl::Duration left = until - MonotonicNow();
    if (left <= absl::ZeroDuration()) return true;
    cancelled_changed_.WaitWithTimeout(&mu_, left);
  }
  return false;
}

absl::Status Catalog::CallOnce(Member* member, const char* method,
                               const std::string& request,
                               const OnMessage& on_message, bool* moved) {
  CAIRN_ASSIGN_OR_RETURN(std::string proof, member->auth->ProofAndWait(method));
  RawCallOptions options;
  options.stall_timeout = options_.stall_timeout;
  options.window = kWindow;
  options.metadata.emplace_back(rpc::kMemberProofKey, std::move(proof));
  RawCall call(member->channel, method, options);
  {
    MutexLock lock(&mu_);
    if (cancelled_) return absl::CancelledError("cancelled");
    call_ = &call;
  }
  call.Write(absl::Cord(request), /*last=*/true);
  absl::StatusOr<bool> more = true;
  while (more.ok() && *more) {
    absl::optional<absl::Cord> message = call.Read();
    if (!message.has_value()) break;
    *moved = true;
    more = on_message(message->Flatten());
  }
  const absl::Status ended = call.Finish();
  {
    MutexLock lock(&mu_);
    call_ = nullptr;
    if (cancelled_) return absl::CancelledError("cancelled");
  }
  CAIRN_RETURN_IF_ERROR(more.status());
  return *more ? ended : absl::OkStatus();
}

absl::Status Catalog::Run(const char* method,
                          const std::function<std::string()>& request,
                          const OnMessage& on_message) {
  Backoff backoff(kBackoff, kBackoffMax);
  absl::Duration moved_at = MonotonicNow();
  size_t failed = 0;     // In a row, without a message.
  size_t cut_off = 0;    // Of them, by LOG_CUT.
  bool renewed = false;  // The session with this member, just now.
  while (true) {
    Member* const member = members_[at_].get();
    bool moved = false;
    const absl::Status status =
        CallOnce(member, method, request(), on_message, &moved);
    if (status.ok() || !Pause(absl::ZeroDuration())) return status;
    if (moved) {
      moved_at = MonotonicNow();
      failed = 0;
      cut_off = 0;
      renewed = false;
      backoff = Backoff(kBackoff, kBackoffMax);
    }
    if (!renewed && member->auth->IsSessionLost(status)) {
      renewed = true;  // It was restarted: once more.
      continue;
    }
    renewed = false;
    if (!IsWorthAnotherMember(status)) {
      return WithContext(status, member->address);
    }
    ++failed;
    if (ReasonOf(status) == ErrorReason::kLogCut) ++cut_off;
    at_ = (at_ + 1) % members_.size();
    if (cut_off == members_.size()) return WithContext(status, member->address);
    if (options_.on_failure) options_.on_failure(member->address, status);
    if (failed % members_.size() != 0) continue;
    if (MonotonicNow() - moved_at >= options_.patience) {
      return WithContext(status, member->address);
    }
    cut_off = 0;
    if (!Pause(backoff.Next())) return absl::CancelledError("cancelled");
  }
}

absl::Status Catalog::List(
    const ListQuery& query,
    const std::function<bool(const ListPage&)>& on_page) {
  ListQuery rest = query;
  bool first = true;
  bool ended = false;
  return Run(
      kListMethod, [&rest] { return ToProto(rest).SerializeAsString(); },
      [&](absl::string_view bytes) -> absl::StatusOr<bool> {
        ListPage page;
        if (!ParsePage(bytes, &page)) return Malformed();
        // That of a call that goes on says nothing of what was listed before.
        if (!first) page.watch_token.clear();
        first = false;
        rest.page_token = page.next_page_token;
        if (rest.limit > 0)
          rest.limit -= std::min<uint64_t>(rest.limit, page.files.size());
        ended = page.next_page_token.empty() ||
                (query.limit > 0 && rest.limit == 0);
        if (!on_page(page)) return false;
        // All is there, however the call ends.
        return !ended;
      });
}

absl::Status Catalog::Watch(
    const WatchQuery& query,
    const std::function<bool(const WatchBatch&)>& on_batch) {
  pb::WatchFilesRequest request;
  request.set_resume_token(query.resume_token);
  if (query.store_path.has_value()) request.set_store_path(*query.store_path);
  request.set_include_attributes(query.include_attributes);
  request.set_until_now(query.until_now);
  return Run(
      kWatchMethod, [&request] { return request.SerializeAsString(); },
      [&](absl::string_view bytes) -> absl::StatusOr<bool> {
        WatchBatch batch;
        if (!ParseBatch(bytes, &batch)) return Malformed();
        request.set_resume_token(batch.resume_token);
        return on_batch(batch);
      });
}

absl::StatusOr<std::vector<OpenUpload>> Catalog::ListUploads(
    absl::optional<uint32_t> store_path) {
  pb::ListUploadsRequest request;
  if (store_path.has_value()) request.set_store_path(*store_path);
  absl::optional<pb::ListUploadsResponse> response;
  CAIRN_RETURN_IF_ERROR(Run(
      kUploadsMethod, [&request] { return request.SerializeAsString(); },
      [&](absl::string_view bytes) -> absl::StatusOr<bool> {
        response.emplace();
        if (!response->ParseFromArray(bytes.data(),
                                      static_cast<int>(bytes.size()))) {
          return Malformed();
        }
        return true;
      }));
  if (!response.has_value()) return Malformed();
  std::vector<OpenUpload> uploads;
  for (const pb::OpenUpload& open : response->uploads()) {
    OpenUpload upload;
    upload.upload_id = open.upload().upload_id();
    upload.node_number = open.upload().node_number();
    upload.store_path = open.upload().store_path();
    if (open.upload().has_size_bytes()) {
      upload.size_bytes = open.upload().size_bytes();
    }
    upload.received_bytes = open.received_bytes();
    upload.extension = open.extension();
    upload.owner = open.owner();
    upload.create_time = absl::FromUnixSeconds(open.create_time().seconds());
    upload.expire_time =
        absl::FromUnixSeconds(open.upload().expire_time().seconds());
    uploads.push_back(std::move(upload));
  }
  return uploads;
}

}  // namespace client
}  // namespace cairn
