#include "services/storage/api/catalog_streams.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"
#include "lib/attributes/attributes.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/batch_wire.h"
#include "lib/rpc/wire.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/translate.h"

namespace cairn {
namespace storage {
namespace {

// What a message of a list holds, about; and how many names are looked at for
// it: where few are wanted it goes out with what there is, so that a call that
// was cancelled ends soon, and one that breaks off goes on from there.
constexpr size_t kMessageBytes = 256 << 10;
constexpr int kNamesPerMessage = 32 << 10;

constexpr int64_t kReadAheadBytes = 256 << 10;

// Longer than any name.
constexpr size_t kPrefixBytesMax = 256;

// Events in a message, some hundred bytes each.
constexpr size_t kEventsPerMessage = 1000;

// Of silence, until somebody is told that all is well.
constexpr absl::Duration kHeartbeat = absl::Seconds(3);

absl::StatusOr<int64_t> SecondsFrom(const google::protobuf::Timestamp& time,
                                    absl::string_view field) {
  // The range of a Timestamp: years 1 to 9999.
  if (time.seconds() < -62135596800 || time.seconds() > 253402300799 ||
      time.nanos() < 0 || time.nanos() > 999999999) {
    return InvalidField(field, "is no time");
  }
  // Times of creation are whole seconds.
  return time.seconds() + (time.nanos() > 0 ? 1 : 0);
}

absl::StatusOr<FileConditions> ParseConditions(
    const v1::ListFilesRequest& request) {
  FileConditions conditions;
  if (request.prefix().size() > kPrefixBytesMax) {
    return InvalidField("prefix", "is longer than any name");
  }
  conditions.prefix = request.prefix();
  if (request.has_created_from()) {
    CAIRN_ASSIGN_OR_RETURN(conditions.created_from,
                           SecondsFrom(request.created_from(), "created_from"));
  }
  if (request.has_created_before()) {
    CAIRN_ASSIGN_OR_RETURN(
        conditions.created_before,
        SecondsFrom(request.created_before(), "created_before"));
  }
  switch (request.kind()) {
    case common::v1::FILE_KIND_UNSPECIFIED:
      break;
    case common::v1::FILE_KIND_NORMAL:
      conditions.kind = FileKind::kNormal;
      break;
    case common::v1::FILE_KIND_APPENDER:
      conditions.kind = FileKind::kAppender;
      break;
    case common::v1::FILE_KIND_DERIVED:
      conditions.kind = FileKind::kDerived;
      break;
    default:
      return InvalidField("kind", "is none");
  }
  for (const common::v1::Attribute& attribute : request.attributes()) {
    if (!conditions.attributes.emplace(attribute.key(), attribute.value())
             .second) {
      return InvalidField("attributes", "a key comes twice");
    }
  }
  CAIRN_RETURN_IF_ERROR(CheckAttributes(conditions.attributes));
  return conditions;
}

}  // namespace

// Puts files into a message.
class ListStream::Visitor : public FileVisitor {
 public:
  Visitor(ListStream* stream, const std::string& id_prefix, int64_t now,
          rpc::WireWriter* out)
      : stream_(stream), id_prefix_(id_prefix), now_(now), out_(out) {}

  Step OnKey(absl::string_view key, std::string* seek) override {
    if (full()) return Step::kStop;
    ++names_;
    return stream_->filter_->CheckKey(key, seek);
  }

  bool OnFile(absl::string_view /*key*/, const KnownFile& known) override {
    if (!stream_->filter_->CheckFile(known, now_)) return true;
    rpc::BatchFileInfo info = InfoOf(id_prefix_, known.file);
    if (stream_->include_attributes_) info.attributes = known.file.attributes;
    rpc::AppendFileInfo(info, v1::ListFilesResponse::kFilesFieldNumber, out_);
    if (stream_->left_.has_value()) --*stream_->left_;
    return !full();
  }

  bool full() const {
    return out_->size() >= kMessageBytes || names_ >= kNamesPerMessage ||
           stream_->left_ == uint64_t{0};
  }

 private:
  ListStream* const stream_;
  const std::string& id_prefix_;
  const int64_t now_;
  rpc::WireWriter* const out_;
  int names_ = 0;
};

ListStream::ListStream(const CallContext& context, rpc::MethodMetrics* metrics,
                       absl::StatusOr<CatalogCall> call,
                       const v1::ListFilesRequest& request)
    : ProducedStream(context, metrics), call_(std::move(call)) {
  const absl::Status status = call_.ok() ? Prepare(request) : call_.status();
  Begin(status, status.ok() ? call_->paths[at_].path : nullptr);
}

absl::Status ListStream::Prepare(const v1::ListFilesRequest& request) {
  CAIRN_ASSIGN_OR_RETURN(FileConditions conditions, ParseConditions(request));
  filter_.emplace(std::move(conditions));
  range_ = filter_->range();
  if (!request.page_token().empty()) {
    CAIRN_ASSIGN_OR_RETURN(PageToken token,
                           PageToken::Parse(request.page_token()));
    while (at_ < call_->paths.size() &&
           call_->paths[at_].index != token.store_path) {
      ++at_;
    }
    if (at_ == call_->paths.size()) {
      return InvalidField("page_token", "is of another store path");
    }
    if (token.from > range_.from) range_.from = std::move(token.from);
  }
  range_.read_ahead_bytes = kReadAheadBytes;
  include_attributes_ = request.include_attributes();
  if (request.limit() > 0) left_ = request.limit();
  // Before the first file is looked at: what happens to one that was listed is
  // behind it.
  WatchToken watch;
  for (const CatalogPath& path : call_->paths) {
    if (path.path->replica() == nullptr) continue;
    watch.positions[path.index] = ChangeFeed::End(path.path.get());
  }
  watch_token_ = watch.ToString();
  return absl::OkStatus();
}

absl::StatusOr<absl::optional<grpc::ByteBuffer>> ListStream::Produce() {
  const CatalogPath& path = call_->paths[at_];
  const std::string id_prefix = context_.node->FileId(path.index, "");
  rpc::WireWriter out;
  Visitor visitor(this, id_prefix, absl::ToUnixSeconds(context_.clock->Now()),
                  &out);
  bool done = !range_.until.empty() && range_.from >= range_.until;
  while (!done && !visitor.full()) {
    CAIRN_ASSIGN_OR_RETURN(range_.from, path.path->ScanFiles(range_, &visitor));
    done = range_.from.empty();
  }
  PageToken next;
  next.store_path = path.index;
  next.from = range_.from;
  bool last = left_ == uint64_t{0};
  std::string token;
  if (!done) {
    token = next.ToString();
  } else if (at_ + 1 < call_->paths.size()) {
    ++at_;
    SetPath(call_->paths[at_].path);
    range_.from = filter_->range().from;
    next.store_path = call_->paths[at_].index;
    next.from.clear();
    token = next.ToString();
  } else {
    last = true;
  }
  if (last) SetLast();
  if (!token.empty()) {
    rpc::SmallMessage header;
    header.Header(v1::ListFilesResponse::kNextPageTokenFieldNumber,
                  token.size());
    out.Append(header);
    out.Append(token);
  }
  if (!watch_token_.empty()) {
    rpc::SmallMessage header;
    header.Header(v1::ListFilesResponse::kWatchTokenFieldNumber,
                  watch_token_.size());
    out.Append(header);
    out.Append(watch_token_);
    watch_token_.clear();
  }
  return absl::optional<grpc::ByteBuffer>(out.Finish());
}

WatchStream::WatchStream(const CallContext& context,
                         rpc::MethodMetrics* metrics,
                         absl::StatusOr<CatalogCall> call,
                         const v1::WatchFilesRequest& request)
    : ProducedStream(context, metrics), call_(std::move(call)) {
  const absl::Status status = call_.ok() ? Prepare(request) : call_.status();
  if (status.ok()) {
    for (size_t i = 0; i < feeds_.size(); ++i) {
      call_->paths[i].replicator->AddTail(feeds_[i].get());
    }
  }
  Begin(status, status.ok() ? call_->paths[at_].path : nullptr);
}

absl::Status WatchStream::Prepare(const v1::WatchFilesRequest& request) {
  const bool from_now = request.resume_token().empty();
  if (!from_now) {
    CAIRN_ASSIGN_OR_RETURN(from_, WatchToken::Parse(request.resume_token()));
  }
  include_attributes_ = request.include_attributes();
  until_now_ = request.until_now();
  std::vector<std::unique_ptr<Feed>> feeds;
  for (const CatalogPath& path : call_->paths) {
    ChangeFeed::Positions from = from_now
                                     ? ChangeFeed::End(path.path.get())
                                     : std::move(from_.positions[path.index]);
    from_.positions.erase(path.index);
    absl::optional<ChangeFeed::Positions> until;
    if (until_now_) until = ChangeFeed::End(path.path.get());
    feeds.push_back(std::make_unique<Feed>(
        this, ChangeFeed(path.path, std::move(from), std::move(until))));
  }
  feeds_ = std::move(feeds);
  return absl::OkStatus();
}

std::string WatchStream::Token() const {
  WatchToken token = from_;
  for (size_t i = 0; i < feeds_.size(); ++i) {
    token.positions[call_->paths[i].index] = feeds_[i]->changes.positions();
  }
  return token.ToString();
}

absl::StatusOr<absl::optional<grpc::ByteBuffer>> WatchStream::Produce() {
  const uint8_t index = call_->paths[at_].index;
  CAIRN_ASSIGN_OR_RETURN(const std::vector<FileEvent> events,
                         feeds_[at_]->changes.Next(kEventsPerMessage));
  // The next one's turn, also if this one has more.
  at_ = (at_ + 1) % feeds_.size();
  SetPath(call_->paths[at_].path);
  const absl::Duration now = context_.clock->Monotonic();
  v1::WatchFilesResponse response;
  if (events.empty()) {
    if (++idle_ < feeds_.size()) {
      Wake();
      return absl::optional<grpc::ByteBuffer>();
    }
    idle_ = 0;
    if (until_now_) SetLast();
    if (!until_now_ && now - said_ < kHeartbeat) {
      return absl::optional<grpc::ByteBuffer>();
    }
  } else {
    idle_ = 0;
  }
  for (const FileEvent& event : events) {
    v1::FileEvent* const out = response.add_events();
    switch (event.kind) {
      case FileEvent::Kind::kCreated:
        out->set_kind(v1::FILE_CHANGE_KIND_CREATED);
        break;
      case FileEvent::Kind::kChanged:
        out->set_kind(v1::FILE_CHANGE_KIND_CHANGED);
        break;
      case FileEvent::Kind::kDeleted:
        out->set_kind(v1::FILE_CHANGE_KIND_DELETED);
        break;
    }
    ToProto(*context_.node, index, event.file, out->mutable_file());
    if (include_attributes_) AttributesToProto(event.file, out->mutable_file());
  }
  said_ = now;
  response.set_resume_token(Token());
  return absl::optional<grpc::ByteBuffer>(rpc::ToByteBuffer(response));
}

void WatchStream::Ended() {
  for (size_t i = 0; i < feeds_.size(); ++i) {
    call_->paths[i].replicator->RemoveTail(feeds_[i].get());
  }
}

}  // namespace storage
}  // namespace cairn
