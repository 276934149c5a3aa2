// What a client pays for each upload and download. Arguments: groups, nodes of
// each, store paths of each.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "lib/placement/cluster_model.h"
#include "lib/placement/placer.h"

namespace cairn {
namespace {

ClusterModel Model(const benchmark::State& state) {
  std::vector<NodeModel> nodes;
  for (int64_t group = 0; group < state.range(0); ++group) {
    for (int64_t node = 0; node < state.range(1); ++node) {
      NodeModel model;
      model.uuid = absl::StrCat("aaaaaaaa-0000-4000-8000-0000000", group, node);
      model.number = static_cast<uint32_t>(group * 100 + node);
      model.group = absl::StrCat("group", group);
      for (int64_t path = 0; path < state.range(2); ++path) {
        StorePathModel disk;
        disk.index = static_cast<uint32_t>(path);
        disk.free_bytes = int64_t{1} << 40;
        model.store_paths.push_back(disk);
      }
      nodes.push_back(model);
    }
  }
  return ClusterModel(nodes, {});
}

void BM_PlaceUpload(benchmark::State& state) {
  const ClusterModel model = Model(state);
  Placer placer(1);
  UploadQuery query;
  query.size_bytes = 4096;
  for (auto _ : state) {
    benchmark::DoNotOptimize(placer.PlaceUpload(model, query));
  }
}
BENCHMARK(BM_PlaceUpload)
    ->Args({1, 1, 1})
    ->Args({1, 3, 4})
    ->Args({20, 3, 12})
    ->Args({300, 3, 12});

void BM_ReadOrder(benchmark::State& state) {
  const ClusterModel model = Model(state);
  Placer placer(1);
  ReadQuery query;
  query.group = "group0";
  query.store_path = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(placer.ReadOrder(model, query));
  }
}
BENCHMARK(BM_ReadOrder)->Args({1, 1, 1})->Args({20, 3, 12});

}  // namespace
}  // namespace cairn
