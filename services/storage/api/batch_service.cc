#include "services/storage/api/batch_service.h"

#include "services/storage/api/batch_stream.h"

namespace cairn {
namespace storage {

BatchServiceImpl::BatchServiceImpl(StorageNode* node, ByteBudget* budget,
                                   Clock* clock, Executor* executor,
                                   ItemObserver* observer,
                                   BatchServiceOptions options) {
  context_.node = node;
  context_.budget = budget;
  context_.clock = clock;
  context_.executor = executor;
  context_.observer = observer;
  context_.options = options;
  for (size_t i = 0; i < node->path_count(); ++i) {
    context_.id_prefixes.push_back(node->FileId(static_cast<uint8_t>(i), ""));
  }
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*
BatchServiceImpl::Run(grpc::CallbackServerContext* /*context*/) {
  return StartBatchStream(&context_);
}

}  // namespace storage
}  // namespace cairn
