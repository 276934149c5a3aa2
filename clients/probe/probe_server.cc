#include "clients/probe/probe_server.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cairn/probe/v1/probe_service.grpc.pb.h"
#include "clients/probe/raw_message.h"

namespace cairn {
namespace probe {
namespace {

using v1::EchoRequest;
using v1::EchoResponse;
using v1::ProbeService;
using v1::SinkResponse;
using v1::SourceRequest;

class SinkReactor : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  explicit SinkReactor(grpc::ByteBuffer* response) : response_(response) {
    StartRead(&message_);
  }
  void OnReadDone(bool ok) override {
    if (ok) {
      received_bytes_ += static_cast<int64_t>(message_.Length());
      message_.Clear();
      StartRead(&message_);
      return;
    }
    SinkResponse response;
    response.set_received_bytes(received_bytes_);
    *response_ = SerializeRaw(response);
    Finish(grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer* const response_;
  grpc::ByteBuffer message_;
  int64_t received_bytes_ = 0;
};

class SourceReactor : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit SourceReactor(const grpc::ByteBuffer* raw_request) {
    SourceRequest request;
    if (!ParseRaw(*raw_request, &request) || request.chunk_bytes() <= 0) {
      Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                          "chunk_bytes must be positive"));
      return;
    }
    chunks_left_ = (request.total_bytes() + request.chunk_bytes() - 1) /
                   request.chunk_bytes();
    message_ = DataMessage(static_cast<size_t>(request.chunk_bytes()));
    Next();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client is gone"));
      return;
    }
    Next();
  }
  void OnDone() override { delete this; }

 private:
  void Next() {
    if (chunks_left_-- <= 0) {
      Finish(grpc::Status::OK);
      return;
    }
    StartWrite(&message_);
  }

  grpc::ByteBuffer message_;
  int64_t chunks_left_ = 0;
};

using Base = ProbeService::WithRawCallbackMethod_Sink<
    ProbeService::WithRawCallbackMethod_Source<
        ProbeService::WithCallbackMethod_Echo<ProbeService::Service>>>;

class Service : public Base {
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context,
                                 const EchoRequest* request,
                                 EchoResponse* response) override {
    response->set_payload(request->payload());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerReadReactor<grpc::ByteBuffer>* Sink(
      grpc::CallbackServerContext* /*context*/,
      grpc::ByteBuffer* response) override {
    return new SinkReactor(response);
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Source(
      grpc::CallbackServerContext* /*context*/,
      const grpc::ByteBuffer* request) override {
    return new SourceReactor(request);
  }
};

class ProbeServerImpl : public ProbeServer {
 public:
  absl::Status Listen(const std::string& address) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(-1);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", address));
    }
    address_ = absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
    return absl::OkStatus();
  }
  ~ProbeServerImpl() override {
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now());
      server_->Wait();
    }
  }
  const std::string& address() const override { return address_; }

 private:
  Service service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ProbeServer>> ProbeServer::Start(
    absl::string_view address) {
  auto server = std::make_unique<ProbeServerImpl>();
  const absl::Status listening = server->Listen(std::string(address));
  if (!listening.ok()) return listening;
  return std::unique_ptr<ProbeServer>(std::move(server));
}

}  // namespace probe
}  // namespace cairn
