#include "services/storage/api/batch_service.h"

#include <vector>

#include "lib/rpc/peer_identity.h"
#include "services/storage/api/batch_stream.h"

namespace cairn {
namespace storage {

bool BatchStreams::Add(Stream* stream) {
  MutexLock lock(&mu_);
  streams_.insert(stream);
  return !stopped_;
}

void BatchStreams::Remove(Stream* stream) {
  MutexLock lock(&mu_);
  streams_.erase(stream);
}

void BatchStreams::StopAll() {
  std::vector<Stream*> streams;
  {
    MutexLock lock(&mu_);
    if (stopped_) return;
    stopped_ = true;
    for (Stream* stream : streams_) {
      stream->BeginStop();
      streams.push_back(stream);
    }
  }
  for (Stream* stream : streams) stream->EndStop();
}

size_t BatchStreams::size() const {
  MutexLock lock(&mu_);
  return streams_.size();
}

BatchServiceImpl::BatchServiceImpl(StorageNode* node, ByteBudget* budget,
                                   const ReplicaGate* replicas, Clock* clock,
                                   Executor* executor, ItemObserver* observer,
                                   BatchServiceOptions options) {
  context_.node = node;
  context_.budget = budget;
  context_.replicas = replicas;
  context_.clock = clock;
  context_.executor = executor;
  context_.observer = observer;
  context_.options = options;
  context_.streams = &streams_;
  for (size_t i = 0; i < node->path_count(); ++i) {
    context_.id_prefixes.push_back(node->FileId(static_cast<uint8_t>(i), ""));
  }
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*
BatchServiceImpl::Run(grpc::CallbackServerContext* context) {
  return StartBatchStream(&context_, rpc::PeerIdentity(*context));
}

}  // namespace storage
}  // namespace cairn
