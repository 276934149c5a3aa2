#include "services/storage/sync/grpc_peer_transport.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "cairn/storage/v1/sync_service.grpc.pb.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/sha256.h"
#include "lib/rpc/chunk_wire.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/wire.h"
#include "services/storage/sync/sync_wire.h"

namespace cairn {
namespace storage {
namespace {

constexpr char kSync[] = "/cairn.storage.v1.SyncService/Sync";
constexpr char kAckSync[] = "/cairn.storage.v1.SyncService/AckSync";
constexpr char kSnapshot[] = "/cairn.storage.v1.SyncService/Snapshot";
constexpr char kFetch[] = "/cairn.storage.v1.SyncService/Fetch";
constexpr char kDigest[] = "/cairn.storage.v1.SyncService/Digest";

constexpr absl::Duration kAckTimeout = absl::Seconds(5);

absl::Status CancelledHere() {
  return absl::CancelledError("this node has given the stream up");
}

FileInfo FromProto(const common::v1::FileInfo& info) {
  FileInfo out;
  out.attributes = info.attributes().SerializeAsString();
  out.size_bytes = info.size_bytes();
  out.crc32c = info.crc32c();
  if (info.sha256().size() == kSha256Bytes) out.sha256 = info.sha256();
  out.kind = static_cast<FileKind>(info.kind());
  out.create_unix_seconds = info.create_time().seconds();
  out.version = Version{info.version().clock(), info.version().node()};
  out.origin_node = info.origin_node();
  out.expire_unix_seconds = std::clamp<int64_t>(info.expire_time().seconds(), 0,
                                                kExpireUnixSecondsMax);
  return out;
}

}  // namespace

// One streaming call. It owns itself from Begin() until OnEnd() has returned,
// besides whoever holds it.
class GrpcPeerTransport::Stream
    : public PeerStream,
      public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public std::enable_shared_from_this<Stream> {
 public:
  // Takes a message; not OK: the stream ends with that.
  using Take = absl::AnyInvocable<absl::Status(const grpc::ByteBuffer&)>;
  using End = absl::AnyInvocable<void(const absl::Status&)>;

  Stream(std::shared_ptr<Link> link, const char* method,
         grpc::ByteBuffer request, Take take, End end)
      : link_(std::move(link)),
        method_(method),
        request_(std::move(request)),
        take_(std::move(take)),
        end_(std::move(end)) {}

  // For calls that have no deadline: a log has no end, and who pulls it gives
  // up a stream that is silent. The others move as long as they live.
  void Begin() {
    self_ = shared_from_this();
    link_->auth->Authorize(method_, &context_,
                           [this](const absl::Status& ok) { Authorized(ok); });
  }

  void Next() override {
    {
      MutexLock lock(&mu_);
      wanted_ = true;
      if (!started_ || reading_ || !held_) return;
      wanted_ = false;
      reading_ = true;
    }
    TsanRelease(this);
    StartRead(&message_);
  }

  void Cancel() override {
    bool let_go = false;
    {
      MutexLock lock(&mu_);
      if (failure_.ok()) failure_ = CancelledHere();
      if (started_ && !reading_ && held_) {
        held_ = false;
        let_go = true;
      }
    }
    context_.TryCancel();
    if (let_go) RemoveHold();
  }

  void OnReadDone(bool ok) override {
    TsanAcquire(this);
    if (ok) {
      absl::Status taken = take_(message_);
      message_.Clear();
      if (!taken.ok()) {
        {
          MutexLock lock(&mu_);
          if (failure_.ok()) failure_ = std::move(taken);
        }
        context_.TryCancel();
      }
    }
    bool read = false;
    bool let_go = false;
    {
      MutexLock lock(&mu_);
      reading_ = false;
      if (!ok || !failure_.ok()) {
        let_go = std::exchange(held_, false);
      } else if (wanted_) {
        wanted_ = false;
        reading_ = true;
        read = true;
      }
    }
    if (read) StartRead(&message_);
    if (let_go) RemoveHold();
  }

  void OnDone(const grpc::Status& status) override {
    absl::Status outcome = rpc::FromGrpcStatus(status);
    {
      MutexLock lock(&mu_);
      if (!failure_.ok()) outcome = failure_;
    }
    // The next call begins a new session then.
    link_->auth->IsSessionLost(outcome);
    Ended(outcome);
  }

 private:
  void Authorized(const absl::Status& status) {
    absl::Status failure = status;
    if (failure.ok()) {
      MutexLock lock(&mu_);
      failure = failure_;
    }
    if (!failure.ok()) {
      Ended(failure);
      return;
    }
    grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(
        link_->channel);
    stub.PrepareBidiStreamingCall(&context_, method_, {}, this);
    // Reads are started by whoever asks for the next message.
    AddHold();
    grpc::WriteOptions last;
    last.set_last_message();
    StartWrite(&request_, last);
    // Only now may Next() and Cancel(), which come on other threads meanwhile,
    // touch the call: a read that both sides start, or a hold that is given
    // back before it is taken, and the call never ends.
    bool read = false;
    bool let_go = false;
    {
      MutexLock lock(&mu_);
      started_ = true;
      held_ = failure_.ok();
      let_go = !held_;
      read = held_ && std::exchange(wanted_, false);
      reading_ = read;
    }
    if (read) StartRead(&message_);
    StartCall();
    if (let_go) RemoveHold();
  }

  void Ended(const absl::Status& status) {
    const std::shared_ptr<Stream> self = std::move(self_);
    end_(status);
  }

  const std::shared_ptr<Link> link_;
  const char* const method_;
  grpc::ByteBuffer request_;
  Take take_;
  End end_;
  grpc::ClientContext context_;
  grpc::ByteBuffer message_;      // While `reading_`.
  std::shared_ptr<Stream> self_;  // Until it has ended.

  Mutex mu_;
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool wanted_ ABSL_GUARDED_BY(mu_) = false;  // Next() was called.
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool held_ ABSL_GUARDED_BY(mu_) = false;  // gRPC does not end the call yet.
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

class GrpcPeerTransport::AckCall {
 public:
  using Done = std::function<void(const absl::Status&)>;

  static void Start(std::shared_ptr<Link> link, v1::AckSyncRequest request,
                    Done done) {
    auto call = std::make_shared<AckCall>();
    call->link_ = std::move(link);
    call->request_ = std::move(request);
    call->done_ = std::move(done);
    rpc::SetTimeout(&call->context_, kAckTimeout);
    call->link_->auth->Authorize(
        kAckSync, &call->context_, [call](const absl::Status& authorized) {
          if (!authorized.ok()) {
            call->done_(authorized);
            return;
          }
          call->stub_ = v1::SyncService::NewStub(call->link_->channel);
          call->stub_->async()->AckSync(
              &call->context_, &call->request_, &call->response_,
              [call](const grpc::Status& status) {
                const absl::Status outcome = rpc::FromGrpcStatus(status);
                call->link_->auth->IsSessionLost(outcome);
                call->done_(outcome);
              });
        });
  }

 private:
  std::shared_ptr<Link> link_;
  v1::AckSyncRequest request_;
  v1::AckSyncResponse response_;
  Done done_;
  grpc::ClientContext context_;
  std::unique_ptr<v1::SyncService::Stub> stub_;
};

GrpcPeerTransport::GrpcPeerTransport(GrpcPeerTransportOptions options,
                                     Clock* clock)
    : options_(std::move(options)), clock_(clock) {}

GrpcPeerTransport::~GrpcPeerTransport() = default;

std::shared_ptr<GrpcPeerTransport::Link> GrpcPeerTransport::MakeLink(
    const Peer& peer, bool own_connection) const {
  auto link = std::make_shared<Link>();
  rpc::ChannelOptions channel = options_.channel;
  channel.own_connection = own_connection;
  link->channel = rpc::MakeChannel(peer.address, channel);
  rpc::MemberAuthClientOptions auth;
  auth.cluster_secret = options_.cluster_secret;
  auth.cluster_id = options_.cluster_id;
  auth.node_uuid = options_.node_uuid.ToString();
  auth.server_uuid = peer.node_uuid.ToString();
  link->auth =
      std::make_unique<rpc::MemberAuthClient>(link->channel, auth, clock_);
  return link;
}

GrpcPeerTransport::Links GrpcPeerTransport::LinksTo(const Peer& peer) {
  Links old;  // Let go without the lock.
  MutexLock lock(&mu_);
  Links& links = links_[peer.node_uuid];
  if (links.log == nullptr || links.address != peer.address) {
    old = std::move(links);
    links.address = peer.address;
    links.log = MakeLink(peer, /*own_connection=*/true);
    links.content = MakeLink(peer, /*own_connection=*/true);
  }
  return links;
}

std::shared_ptr<PeerStream> GrpcPeerTransport::StartSync(
    const Peer& peer, uint8_t store_path, const absl::optional<LogId>& log,
    const std::vector<LogRange>& have, SyncListener* listener) {
  v1::SyncRequest request;
  request.set_node_uuid(options_.node_uuid.ToString());
  request.set_group(options_.group);
  request.set_store_path(store_path);
  if (log.has_value()) ToProto(*log, request.mutable_log());
  for (const LogRange& range : have) ToProto(range, request.add_have());
  auto stream = std::make_shared<Stream>(
      LinksTo(peer).log, kSync, rpc::ToByteBuffer(request),
      [listener](const grpc::ByteBuffer& message) -> absl::Status {
        SyncBatch batch;
        CAIRN_RETURN_IF_ERROR(ParseSyncResponse(message, &batch));
        listener->OnBatch(std::move(batch));
        return absl::OkStatus();
      },
      [listener](const absl::Status& status) { listener->OnEnd(status); });
  stream->Begin();
  return stream;
}

std::shared_ptr<PeerStream> GrpcPeerTransport::StartSnapshot(
    const Peer& peer, uint8_t store_path, const std::string& from,
    SnapshotListener* listener) {
  v1::SnapshotRequest request;
  request.set_node_uuid(options_.node_uuid.ToString());
  request.set_group(options_.group);
  request.set_store_path(store_path);
  request.set_from(from);
  auto stream = std::make_shared<Stream>(
      LinksTo(peer).log, kSnapshot, rpc::ToByteBuffer(request),
      [listener, logs = std::vector<LogRange>()](
          const grpc::ByteBuffer& message) mutable -> absl::Status {
        SnapshotBatch batch;
        CAIRN_RETURN_IF_ERROR(ParseSnapshotResponse(message, &logs, &batch));
        listener->OnBatch(std::move(batch));
        return absl::OkStatus();
      },
      [listener](const absl::Status& status) { listener->OnEnd(status); });
  stream->Begin();
  return stream;
}

std::shared_ptr<PeerStream> GrpcPeerTransport::StartFetch(
    const Peer& peer, uint8_t store_path, const FetchWish& wish,
    FetchListener* listener) {
  v1::FetchRequest request;
  request.set_node_uuid(options_.node_uuid.ToString());
  request.set_group(options_.group);
  request.set_store_path(store_path);
  request.set_name(wish.name);
  if (wish.version.has_value()) {
    request.mutable_version()->set_clock(wish.version->clock);
    request.mutable_version()->set_node(wish.version->node);
  }
  if (wish.state.has_value()) {
    request.set_size_bytes(wish.state->size_bytes);
    request.set_crc32c(wish.state->crc32c);
  }
  request.set_offset(wish.offset);
  if (wish.length.has_value()) request.set_length(*wish.length);
  request.set_info_only(wish.info_only);
  auto stream = std::make_shared<Stream>(
      LinksTo(peer).content, kFetch, rpc::ToByteBuffer(request),
      [listener, next = wish.offset](
          const grpc::ByteBuffer& message) mutable -> absl::Status {
        // Laid out as a DownloadResponse.
        rpc::DownloadMessage parsed;
        CAIRN_RETURN_IF_ERROR(rpc::ParseDownloadMessage(message, &parsed));
        if (parsed.info.has_value()) {
          FileInfo info = FromProto(*parsed.info);
          info.life = parsed.life;
          info.sealed_from = std::move(parsed.sealed_from);
          info.owner = parsed.owner.substr(0, kOwnerBytesMax);
          if (parsed.content_missing) listener->OnContentMissing();
          listener->OnInfo(info);
          return absl::OkStatus();
        }
        if (!parsed.chunk.has_value() || parsed.chunk->offset != next ||
            Crc32c(parsed.chunk->data) != parsed.chunk->crc32c) {
          return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                                 ErrorReason::kChecksumMismatch,
                                 "a chunk that came is not what was sent");
        }
        next += static_cast<int64_t>(parsed.chunk->data.size());
        listener->OnChunk(std::move(parsed.chunk->data));
        return absl::OkStatus();
      },
      [listener](const absl::Status& status) { listener->OnEnd(status); });
  stream->Begin();
  return stream;
}

std::shared_ptr<PeerStream> GrpcPeerTransport::StartDigest(
    const Peer& peer, uint8_t store_path, const DigestWish& wish,
    DigestListener* listener) {
  v1::DigestRequest request;
  request.set_node_uuid(options_.node_uuid.ToString());
  request.set_group(options_.group);
  request.set_store_path(store_path);
  request.set_from(wish.from);
  request.set_until(wish.until);
  request.set_entries(wish.entries);
  auto stream = std::make_shared<Stream>(
      LinksTo(peer).content, kDigest, rpc::ToByteBuffer(request),
      [listener, logs = std::vector<LogRange>()](
          const grpc::ByteBuffer& message) mutable -> absl::Status {
        DigestBatch batch;
        CAIRN_RETURN_IF_ERROR(ParseDigestResponse(message, &logs, &batch));
        listener->OnBatch(std::move(batch));
        return absl::OkStatus();
      },
      [listener](const absl::Status& status) { listener->OnEnd(status); });
  stream->Begin();
  return stream;
}

void GrpcPeerTransport::SendAck(const Peer& peer, uint8_t store_path,
                                const Acknowledgement& acknowledgement,
                                std::function<void(const absl::Status&)> done) {
  v1::AckSyncRequest request;
  request.set_node_uuid(options_.node_uuid.ToString());
  request.set_group(options_.group);
  request.set_store_path(store_path);
  for (const LogRange& range : acknowledgement.logs) {
    ToProto(range, request.add_logs());
  }
  for (const LogPosition& position : acknowledgement.missing) {
    v1::LogChange* const change = request.add_missing();
    ToProto(position.log, change->mutable_log());
    change->set_sequence(position.sequence);
  }
  AckCall::Start(LinksTo(peer).log, std::move(request), std::move(done));
}

}  // namespace storage
}  // namespace cairn
