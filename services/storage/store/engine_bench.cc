// What the engine takes for small files, without gRPC: run with
//   bazel run --config=bench //services/storage/store:engine_bench
// The column CPU is that of the whole process, so background work of RocksDB
// is in it. Files are made under $CAIRN_BENCH_DIR, or /tmp.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/io/file_system.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/path_layout.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace storage {
namespace {

constexpr int kInFlight = 64;
constexpr int kFiles = 100000;

// Names as the service makes them.
std::string Name(uint32_t i) {
  static const FileIdCodec* codec = new FileIdCodec("secret");
  FileIdFields fields;
  fields.node_number = 7;
  fields.create_unix_seconds = 1767225600 + i / 10000;
  fields.size_bytes = 4096;
  fields.crc32c = i * 2654435761u;
  fields.counter = i % (1 << 24);
  return codec->MakeName("group1", 0, fields, "jpg");
}

class BenchPath {
 public:
  BenchPath() {
    const char* base = std::getenv("CAIRN_BENCH_DIR");
    directory_ = absl::StrCat(base == nullptr ? "/tmp" : base, "/cairn_bench_",
                              RandomUint32());
    StorePathOptions options;
    options.directory = directory_;
    options.cluster_id = Uuid::Random();
    options.group = "group1";
    options.node_uuid = Uuid::Random();
    options.node_number = 7;
    auto opened = OpenStorePath(options, FileSystem::Real(), Clock::Real());
    CAIRN_CHECK_OK(opened.status());
    path_ = *std::move(opened);
  }
  ~BenchPath() {
    path_.reset();
    RemoveTree(FileSystem::Real(), directory_).IgnoreError();
  }
  Engine* get() { return path_.get(); }

 private:
  std::string directory_;
  std::unique_ptr<Engine> path_;
};

// Keeps kInFlight changes on their way.
class Window {
 public:
  void Acquire() {
    MutexLock lock(&mu_);
    while (free_ == 0) changed_.Wait(&mu_);
    --free_;
  }
  void Release() {
    MutexLock lock(&mu_);
    if (++free_ == kInFlight / 2) changed_.Signal();
    if (free_ == kInFlight) changed_.Signal();
  }
  void Drain() {
    MutexLock lock(&mu_);
    while (free_ < kInFlight) changed_.Wait(&mu_);
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int free_ ABSL_GUARDED_BY(mu_) = kInFlight;
};

void PutOne(Engine* path, Window* window, uint32_t i, const absl::Cord& content,
            uint32_t crc, Durability level) {
  PutRequest put;
  put.request_id = Uuid::Random();
  put.name = Name(i);
  put.content = content;
  put.crc32c = crc;
  put.create_unix_seconds = 1767225600;
  put.origin_node = 7;
  put.durability = level;
  window->Acquire();
  path->Put(std::move(put), [window](absl::StatusOr<Committed> committed) {
    CAIRN_CHECK_OK(committed.status());
    window->Release();
  });
}

void Fill(Engine* path, uint32_t from, uint32_t count, size_t size) {
  Window window;
  const std::string content = TestContent(1, size);
  const absl::Cord cord(content);
  const uint32_t crc = Crc32c(content);
  for (uint32_t i = from; i < from + count; ++i) {
    PutOne(path, &window, i, cord, crc, Durability::kCached);
  }
  window.Drain();
}

void BM_Put(benchmark::State& state) {
  BenchPath path;
  const auto level =
      state.range(0) == 0 ? Durability::kCached : Durability::kSynced;
  Window window;
  const std::string content =
      TestContent(1, static_cast<size_t>(state.range(1)));
  const absl::Cord cord(content);
  const uint32_t crc = Crc32c(content);
  uint32_t i = 0;
  for (auto _ : state) {
    PutOne(path.get(), &window, i++, cord, crc, level);
  }
  window.Drain();
  state.SetItemsProcessed(state.iterations());
  const EngineNumbers numbers = path.get()->Numbers();
  state.counters["group"] = static_cast<double>(numbers.committed) /
                            static_cast<double>(numbers.commits);
}
BENCHMARK(BM_Put)
    ->ArgNames({"synced", "bytes"})
    ->Args({0, 1024})
    ->Args({0, 4096})
    ->Args({1, 4096})
    ->Iterations(300000)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

void BM_NamesAndIdsAlone(benchmark::State& state) {
  uint32_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(Name(i++));
    benchmark::DoNotOptimize(Uuid::Random());
  }
}
BENCHMARK(BM_NamesAndIdsAlone);

void BM_Delete(benchmark::State& state) {
  BenchPath path;
  const auto count = static_cast<uint32_t>(state.max_iterations);
  Fill(path.get(), 0, count, 1024);
  Window window;
  uint32_t i = 0;
  for (auto _ : state) {
    DeleteRequest request;
    request.request_id = Uuid::Random();
    request.name = Name(i++);
    request.durability = Durability::kCached;
    window.Acquire();
    path.get()->Delete(std::move(request),
                       [&window](absl::StatusOr<Committed> committed) {
                         CAIRN_CHECK_OK(committed.status());
                         window.Release();
                       });
  }
  window.Drain();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Delete)
    ->Iterations(200000)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

void BM_Get(benchmark::State& state) {
  BenchPath path;
  Fill(path.get(), 0, kFiles, static_cast<size_t>(state.range(0)));
  std::vector<std::string> names;
  for (uint32_t i = 0; i < kFiles; ++i) names.push_back(Name(i));
  std::mt19937 random(1);
  int64_t waited = 0;
  for (auto _ : state) {
    const std::string& name = names[random() % kFiles];
    auto opened = path.get()->TryOpen(name);
    if (!opened.has_value()) {
      ++waited;
      opened = path.get()->Open(name);
    }
    CAIRN_CHECK_OK(opened->status());
    auto content = (**opened)->TryRead(0, state.range(0));
    if (!content.has_value()) {
      ++waited;
      content = (**opened)->Read(0, state.range(0));
    }
    CAIRN_CHECK_OK(content->status());
    benchmark::DoNotOptimize(content);
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["waited"] = static_cast<double>(waited);
}
BENCHMARK(BM_Get)->ArgName("bytes")->Arg(4096)->MeasureProcessCPUTime();

void BM_Stat(benchmark::State& state) {
  BenchPath path;
  Fill(path.get(), 0, kFiles, 1024);
  std::vector<std::string> names;
  for (uint32_t i = 0; i < kFiles; ++i) names.push_back(Name(i));
  std::mt19937 random(1);
  for (auto _ : state) {
    auto stat = path.get()->TryStat(names[random() % kFiles]);
    benchmark::DoNotOptimize(stat);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Stat)->MeasureProcessCPUTime();

}  // namespace
}  // namespace storage
}  // namespace cairn
