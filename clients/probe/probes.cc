#include "clients/probe/probes.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cairn/probe/v1/probe_service.grpc.pb.h"
#include "clients/probe/raw_message.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace probe {
namespace {

using v1::EchoRequest;
using v1::EchoResponse;
using v1::ProbeService;
using v1::SinkResponse;
using v1::SourceRequest;

constexpr char kSinkMethod[] = "/cairn.probe.v1.ProbeService/Sink";
constexpr char kSourceMethod[] = "/cairn.probe.v1.ProbeService/Source";
constexpr size_t kSyncBytes = 4096;
constexpr size_t kFilePieceBytes = size_t{1} << 20;
constexpr size_t kDiskPieceBytes = size_t{4} << 20;
constexpr size_t kDiskAlignment = 4096;

absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

absl::Status Errno(absl::string_view what) {
  return absl::ErrnoToStatus(errno, what);
}

// A channel that shares its connection with no other.
std::shared_ptr<grpc::Channel> OwnChannel(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(),
                                   arguments);
}

double Percentile(std::vector<double>* samples, double share) {
  if (samples->empty()) return 0;
  const auto nth =
      samples->begin() +
      static_cast<int64_t>(share * static_cast<double>(samples->size() - 1));
  std::nth_element(samples->begin(), nth, samples->end());
  return *nth;
}

// Runs `body(i)` on `count` threads; the first error, if there was one.
absl::Status OnThreads(int count,
                       const std::function<absl::Status(int)>& body) {
  std::vector<absl::Status> outcomes(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back(
        [&, i] { outcomes[static_cast<size_t>(i)] = body(i); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& outcome : outcomes) {
    CAIRN_RETURN_IF_ERROR(outcome);
  }
  return absl::OkStatus();
}

// A new file without a name in `directory`.
absl::StatusOr<int> OpenScratchFile(const std::string& directory) {
  std::string path = directory + "/probe-XXXXXX";
  const int fd = mkstemp(path.data());
  if (fd < 0) return Errno(absl::StrCat("create a file in ", directory));
  unlink(path.c_str());
  return fd;
}

}  // namespace

absl::StatusOr<ProbeResult> ProbeEcho(const std::string& target, int callers,
                                      int64_t payload_bytes,
                                      absl::Duration duration) {
  const auto channel = OwnChannel(target);
  const std::string payload(static_cast<size_t>(payload_bytes), 'x');
  std::vector<std::vector<double>> samples(static_cast<size_t>(callers));
  const auto call = [&](ProbeService::Stub* stub) {
    EchoRequest request;
    request.set_payload(payload);
    EchoResponse response;
    grpc::ClientContext context;
    return ToAbsl(stub->Echo(&context, request, &response));
  };
  {
    const auto stub = ProbeService::NewStub(channel);
    for (int i = 0; i < 100; ++i) CAIRN_RETURN_IF_ERROR(call(stub.get()));
  }
  const absl::Time start = absl::Now();
  const absl::Time end = start + duration;
  CAIRN_RETURN_IF_ERROR(OnThreads(callers, [&](int i) {
    const auto stub = ProbeService::NewStub(channel);
    for (absl::Time now = absl::Now(); now < end;) {
      CAIRN_RETURN_IF_ERROR(call(stub.get()));
      const absl::Time done = absl::Now();
      samples[static_cast<size_t>(i)].push_back(
          absl::ToDoubleMicroseconds(done - now));
      now = done;
    }
    return absl::OkStatus();
  }));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  std::vector<double> all;
  for (const auto& of_one : samples) {
    all.insert(all.end(), of_one.begin(), of_one.end());
  }
  return ProbeResult{
      {"calls_per_second", static_cast<double>(all.size()) / seconds},
      {"p50_us", Percentile(&all, 0.5)},
      {"p99_us", Percentile(&all, 0.99)},
  };
}

absl::StatusOr<ProbeResult> ProbeUpload(const std::string& target, int streams,
                                        int64_t total_bytes,
                                        int64_t chunk_bytes) {
  const int64_t chunks = (total_bytes + chunk_bytes - 1) / chunk_bytes;
  const absl::Time start = absl::Now();
  CAIRN_RETURN_IF_ERROR(OnThreads(streams, [&](int /*i*/) -> absl::Status {
    const auto channel = OwnChannel(target);
    const grpc::ByteBuffer message =
        DataMessage(static_cast<size_t>(chunk_bytes));
    grpc::ClientContext context;
    grpc::ByteBuffer raw_response;
    const std::unique_ptr<grpc::ClientWriter<grpc::ByteBuffer>> writer(
        grpc::internal::ClientWriterFactory<grpc::ByteBuffer>::Create(
            channel.get(),
            grpc::internal::RpcMethod(
                kSinkMethod, grpc::internal::RpcMethod::CLIENT_STREAMING),
            &context, &raw_response));
    for (int64_t i = 0; i < chunks && writer->Write(message); ++i) {
    }
    writer->WritesDone();
    CAIRN_RETURN_IF_ERROR(ToAbsl(writer->Finish()));
    SinkResponse response;
    if (!ParseRaw(raw_response, &response) ||
        response.received_bytes() < chunks * chunk_bytes) {
      return absl::InternalError("the server did not get the whole body");
    }
    return absl::OkStatus();
  }));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  return ProbeResult{
      {"bytes_per_second",
       static_cast<double>(chunks * chunk_bytes * streams) / seconds}};
}

absl::StatusOr<ProbeResult> ProbeDownload(const std::string& target,
                                          int streams, int64_t total_bytes,
                                          int64_t chunk_bytes) {
  const int64_t chunks = (total_bytes + chunk_bytes - 1) / chunk_bytes;
  const absl::Time start = absl::Now();
  CAIRN_RETURN_IF_ERROR(OnThreads(streams, [&](int /*i*/) -> absl::Status {
    const auto channel = OwnChannel(target);
    SourceRequest request;
    request.set_total_bytes(total_bytes);
    request.set_chunk_bytes(static_cast<int32_t>(chunk_bytes));
    grpc::ClientContext context;
    const std::unique_ptr<grpc::ClientReader<grpc::ByteBuffer>> reader(
        grpc::internal::ClientReaderFactory<grpc::ByteBuffer>::Create(
            channel.get(),
            grpc::internal::RpcMethod(
                kSourceMethod, grpc::internal::RpcMethod::SERVER_STREAMING),
            &context, SerializeRaw(request)));
    grpc::ByteBuffer message;
    int64_t received = 0;
    while (reader->Read(&message)) {
      received += static_cast<int64_t>(message.Length());
      message.Clear();
    }
    CAIRN_RETURN_IF_ERROR(ToAbsl(reader->Finish()));
    if (received < chunks * chunk_bytes) {
      return absl::InternalError("the server did not send the whole body");
    }
    return absl::OkStatus();
  }));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  return ProbeResult{
      {"bytes_per_second",
       static_cast<double>(chunks * chunk_bytes * streams) / seconds}};
}

absl::StatusOr<ProbeResult> ProbeSync(const std::string& directory,
                                      absl::Duration duration) {
  CAIRN_ASSIGN_OR_RETURN(const int fd, OpenScratchFile(directory));
  const auto close_file = absl::MakeCleanup([fd] { close(fd); });
  const std::string data(kSyncBytes, 'x');
  std::vector<double> samples;
  const absl::Time start = absl::Now();
  const absl::Time end = start + duration;
  for (absl::Time now = start; now < end;) {
    if (write(fd, data.data(), data.size()) !=
        static_cast<ssize_t>(data.size())) {
      return Errno("write");
    }
    if (fdatasync(fd) != 0) return Errno("fdatasync");
    const absl::Time done = absl::Now();
    samples.push_back(absl::ToDoubleMicroseconds(done - now));
    now = done;
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  return ProbeResult{
      {"syncs_per_second", static_cast<double>(samples.size()) / seconds},
      {"p50_us", Percentile(&samples, 0.5)},
      {"p99_us", Percentile(&samples, 0.99)},
  };
}

absl::StatusOr<ProbeResult> ProbeSequentialFile(const std::string& directory,
                                                int64_t total_bytes) {
  CAIRN_ASSIGN_OR_RETURN(const int fd, OpenScratchFile(directory));
  const auto close_file = absl::MakeCleanup([fd] { close(fd); });
  std::string piece(kFilePieceBytes, 'x');
  const auto pieces = static_cast<int64_t>(
      (static_cast<size_t>(total_bytes) + kFilePieceBytes - 1) /
      kFilePieceBytes);
  const double bytes =
      static_cast<double>(pieces) * static_cast<double>(kFilePieceBytes);
  const absl::Time write_start = absl::Now();
  for (int64_t i = 0; i < pieces; ++i) {
    if (write(fd, piece.data(), piece.size()) !=
        static_cast<ssize_t>(piece.size())) {
      return Errno("write");
    }
  }
  const absl::Time read_start = absl::Now();
  for (int64_t i = 0; i < pieces; ++i) {
    if (pread(fd, piece.data(), piece.size(),
              i * static_cast<int64_t>(kFilePieceBytes)) !=
        static_cast<ssize_t>(piece.size())) {
      return Errno("pread");
    }
  }
  const absl::Time end = absl::Now();
  return ProbeResult{
      {"write_bytes_per_second",
       bytes / absl::ToDoubleSeconds(read_start - write_start)},
      {"read_bytes_per_second",
       bytes / absl::ToDoubleSeconds(end - read_start)},
  };
}

absl::StatusOr<ProbeResult> ProbeDisk(const std::string& directory,
                                      int64_t total_bytes) {
  CAIRN_ASSIGN_OR_RETURN(const int fd, OpenScratchFile(directory));
  const auto close_file = absl::MakeCleanup([fd] { close(fd); });
  if (fcntl(fd, F_SETFL, O_DIRECT) != 0) return Errno("O_DIRECT");
  const std::unique_ptr<void, decltype(&std::free)> piece(
      std::aligned_alloc(kDiskAlignment, kDiskPieceBytes), &std::free);
  if (piece == nullptr) return absl::ResourceExhaustedError("out of memory");
  std::memset(piece.get(), 'x', kDiskPieceBytes);
  const absl::Time start = absl::Now();
  int64_t written = 0;
  while (written < total_bytes) {
    const ssize_t done = write(fd, piece.get(), kDiskPieceBytes);
    if (done <= 0) return Errno("write");
    written += done;
  }
  return ProbeResult{
      {"bytes_per_second", static_cast<double>(written) /
                               absl::ToDoubleSeconds(absl::Now() - start)}};
}

}  // namespace probe
}  // namespace cairn
