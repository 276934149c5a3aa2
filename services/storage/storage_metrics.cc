#include "services/storage/storage_metrics.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace cairn {
namespace storage {
namespace {

// What of EngineNumbers is shown under which name.
struct CounterRow {
  const char* name;
  const char* help;
  uint64_t EngineNumbers::*value;
};
struct GaugeRow {
  const char* name;
  const char* help;
  int64_t EngineNumbers::*value;
};

constexpr CounterRow kCounters[] = {
    {"cairn_storage_path_commits_total",
     "Groups of changes that were committed.", &EngineNumbers::commits},
    {"cairn_storage_path_committed_changes_total",
     "Changes that were committed. With commits_total: how many share a write.",
     &EngineNumbers::committed},
    {"cairn_storage_path_refused_changes_total",
     "Changes that were refused: overloaded, disk full or read-only.",
     &EngineNumbers::refused},
    {"cairn_storage_path_journal_written_bytes_total",
     "Bytes written to shared segments.", &EngineNumbers::journal_bytes},
    {"cairn_storage_path_dedicated_written_bytes_total",
     "Bytes written to segments of large files.",
     &EngineNumbers::dedicated_bytes},
    {"cairn_storage_path_syncs_total", "Calls of fdatasync.",
     &EngineNumbers::syncs},
    {"cairn_storage_path_sync_failures_total",
     "Syncs that failed. Any makes the path read-only for good.",
     &EngineNumbers::sync_failures},
    {"cairn_storage_path_read_bytes_total",
     "Content that was read and checked.", &EngineNumbers::read_bytes},
    {"cairn_storage_path_followed_files_total",
     "Files that members were sent in the order in which they were written, "
     "without looking each up.",
     &EngineNumbers::followed_files},
    {"cairn_storage_path_read_failures_total",
     "Reads that the disk refused. A rise says that the disk is dying.",
     &EngineNumbers::read_failures},
    {"cairn_storage_path_damaged_blocks_total",
     "Blocks that did not match their checksum. Any is a bad disk.",
     &EngineNumbers::content_damaged},
    {"cairn_storage_path_damaged_records_total",
     "Records that recovery or compaction had to skip.",
     &EngineNumbers::damaged_records},
    {"cairn_storage_path_checkpoints_total", "Checkpoints of the index.",
     &EngineNumbers::checkpoints},
    {"cairn_storage_path_compacted_segments_total",
     "Segments that compaction emptied.", &EngineNumbers::compacted_segments},
    {"cairn_storage_path_shared_bytes_total",
     "Bytes of contents that copies and uploads share with a file that was "
     "there, and that were not stored again.",
     &EngineNumbers::shared_bytes},
    {"cairn_storage_path_compacted_bytes_total",
     "Bytes that compaction copied.", &EngineNumbers::compacted_bytes},
    {"cairn_storage_path_replayed_records_total",
     "Records replayed when the path was opened.",
     &EngineNumbers::replayed_records},
    {"cairn_storage_path_index_cache_hits_total",
     "Index blocks found in the cache.",
     &EngineNumbers::index_block_cache_hits},
    {"cairn_storage_path_index_cache_misses_total",
     "Index blocks read from disk. A rise against hits says that the cache is "
     "too small.",
     &EngineNumbers::index_block_cache_misses},
    {"cairn_storage_path_index_bloom_useful_total",
     "Lookups that a Bloom filter spared.", &EngineNumbers::index_bloom_useful},
    {"cairn_storage_path_index_flush_written_bytes_total",
     "Bytes that RocksDB wrote for checkpoints.",
     &EngineNumbers::index_flush_write_bytes},
    {"cairn_storage_path_index_compaction_read_bytes_total",
     "Bytes that RocksDB's compaction read.",
     &EngineNumbers::index_compaction_read_bytes},
    {"cairn_storage_path_index_compaction_written_bytes_total",
     "Bytes that RocksDB's compaction wrote.",
     &EngineNumbers::index_compaction_write_bytes},
    {"cairn_storage_path_index_stall_microseconds_total",
     "Time that RocksDB made the committer wait.",
     &EngineNumbers::index_stall_micros},
};

constexpr GaugeRow kGauges[] = {
    {"cairn_storage_path_queue_changes",
     "Changes that wait to be committed. A rise says that the disk is too "
     "slow.",
     &EngineNumbers::queue_entries},
    {"cairn_storage_path_queue_bytes", "Content that waits to be committed.",
     &EngineNumbers::queue_bytes},
    {"cairn_storage_path_io_queue_tasks",
     "Tasks that wait for a thread that may block.",
     &EngineNumbers::io_queue_entries},
    {"cairn_storage_path_files", "Files, without deleted ones.",
     &EngineNumbers::files},
    {"cairn_storage_path_file_bytes",
     "Their bytes, as quotas count them: what several files share counts for "
     "each of them.",
     &EngineNumbers::file_bytes},
    {"cairn_storage_path_tombstones", "Deleted names that are remembered.",
     &EngineNumbers::tombstones},
    {"cairn_storage_path_live_bytes", "Bytes in segments that belong to files.",
     &EngineNumbers::live_bytes},
    {"cairn_storage_path_undelete_bytes",
     "Bytes of deleted files that are kept so that they can be brought back; "
     "part of the live bytes. Much of a full disk: see "
     "docs/runbooks/full_disk.md.",
     &EngineNumbers::undelete_bytes},
    {"cairn_storage_path_dead_bytes",
     "Bytes in segments that compaction can give back.",
     &EngineNumbers::dead_bytes},
    {"cairn_storage_path_segments", "Segment files.", &EngineNumbers::segments},
    {"cairn_storage_path_open_segments", "Segment files that are open.",
     &EngineNumbers::open_segments},
    {"cairn_storage_path_uploads",
     "Uploads to segments of their own that are not finished.",
     &EngineNumbers::uploads},
    {"cairn_storage_path_open_uploads",
     "Uploads in parts that are not finished: they go on after a restart, and "
     "are removed when nobody has written to them for "
     "engine.upload_lifetime.",
     &EngineNumbers::open_uploads},
    {"cairn_storage_path_open_upload_bytes",
     "Bytes that they take, or were said to take when they were begun. Much of "
     "a full disk: see docs/runbooks/full_disk.md.",
     &EngineNumbers::open_upload_bytes},
    {"cairn_storage_path_checkpoint_lag_bytes",
     "Journal that a restart would replay.",
     &EngineNumbers::checkpoint_lag_bytes},
    {"cairn_storage_path_index_bytes", "Index on disk.",
     &EngineNumbers::index_bytes},
    {"cairn_storage_path_index_memtable_bytes",
     "Changes of the index in memory.", &EngineNumbers::index_memtable_bytes},
    {"cairn_storage_path_index_cache_bytes", "Cached index blocks in memory.",
     &EngineNumbers::index_block_cache_bytes},
    {"cairn_storage_path_index_pending_compaction_bytes",
     "What RocksDB still has to compact. A steady rise ends in stalls.",
     &EngineNumbers::index_pending_compaction_bytes},
};

// The same of UpkeepProgress.
struct UpkeepRow {
  const char* name;
  const char* help;
  int64_t (*value)(const UpkeepProgress&);
};

constexpr UpkeepRow kUpkeepCounters[] = {
    {"cairn_storage_damaged_files_found_total",
     "Files whose content was found damaged or unreadable. Any is a bad disk "
     "or "
     "bad memory: see `cairn status` for where.",
     [](const UpkeepProgress& p) {
       return static_cast<int64_t>(p.repairs.found);
     }},
    {"cairn_storage_mended_files_total",
     "Damaged files that were replaced by a good copy of another member.",
     [](const UpkeepProgress& p) {
       return static_cast<int64_t>(p.repairs.mended);
     }},
    {"cairn_storage_scrubbed_files_total",
     "Files that the scrubber has read and checked.",
     [](const UpkeepProgress& p) { return p.scrubbed.files; }},
    {"cairn_storage_scrubbed_bytes_total",
     "Bytes that the scrubber has read and checked. Flat for longer than "
     "upkeep.scrub_pause: it is off.",
     [](const UpkeepProgress& p) { return p.scrubbed.bytes; }},
    {"cairn_storage_scrub_damaged_files_total",
     "Files that the scrubber found damaged.",
     [](const UpkeepProgress& p) { return p.scrubbed.damaged; }},
    {"cairn_storage_compared_ranges_total",
     "Ranges of names that were compared with another member's.",
     [](const UpkeepProgress& p) { return p.compared.ranges; }},
    {"cairn_storage_compared_names_total",
     "Names that were compared with another member's.",
     [](const UpkeepProgress& p) { return p.compared.names; }},
    {"cairn_storage_compared_differing_names_total",
     "Names that one of two members lacked, or had otherwise, though no log "
     "was "
     "on its way. A rise is a bug or a disk that lost what it had synced.",
     [](const UpkeepProgress& p) { return p.compared.differing; }},
    {"cairn_storage_compared_mended_names_total",
     "Those of them that were taken over here.",
     [](const UpkeepProgress& p) { return p.compared.mended; }},
    {"cairn_storage_compared_conflicts_total",
     "Those of them that are two files under one version. Somebody must look: "
     "docs/runbooks/damaged_content.md.",
     [](const UpkeepProgress& p) { return p.compared.conflicts; }},
    {"cairn_storage_comparisons_failed_total",
     "Comparisons with a member that could not be brought to their end.",
     [](const UpkeepProgress& p) {
       return static_cast<int64_t>(p.compared.failed_peers);
     }},
};

constexpr UpkeepRow kUpkeepGauges[] = {
    {"cairn_storage_damaged_files",
     "Files whose content is damaged now and waits for a good copy.",
     [](const UpkeepProgress& p) {
       return static_cast<int64_t>(p.repairs.damaged);
     }},
    {"cairn_storage_unmendable_files",
     "Those of them that no member could give a good copy of. Above 0: "
     "docs/runbooks/damaged_content.md.",
     [](const UpkeepProgress& p) {
       return static_cast<int64_t>(p.repairs.unmendable);
     }},
};

MetricLabels PathLabel(int index) { return {{"path", absl::StrCat(index)}}; }

}  // namespace

StorePathMetrics::StorePathMetrics(MetricsRegistry* registry, int index)
    : commit_entries_(registry->AddHistogram(
          "cairn_storage_path_commit_changes",
          "Changes that shared one commit. A rise means more is waiting for "
          "the disk.",
          Histogram::PowersOfTwo(12), PathLabel(index))),
      commit_bytes_(
          registry->AddHistogram("cairn_storage_path_commit_bytes",
                                 "Bytes that one commit wrote to the journal.",
                                 Histogram::PowersOfTwo(25), PathLabel(index))),
      commit_seconds_(registry->AddHistogram(
          "cairn_storage_path_commit_seconds",
          "Time to write, sync if asked for, and index one commit.",
          Histogram::LatencyBounds(), PathLabel(index))),
      sync_seconds_(registry->AddHistogram(
          "cairn_storage_path_sync_seconds",
          "Time of one fdatasync. A rise says that the disk is busy or dying.",
          Histogram::LatencyBounds(), PathLabel(index))),
      checkpoint_seconds_(registry->AddHistogram(
          "cairn_storage_path_checkpoint_pause_seconds",
          "Time that commits waited for a checkpoint to begin.",
          Histogram::LatencyBounds(), PathLabel(index))),
      writable_(registry->AddGauge(
          "cairn_storage_path_writable",
          "1 if the path takes uploads, 0 if it is full, read-only or offline.",
          PathLabel(index))),
      read_only_by_configuration_(registry->AddGauge(
          "cairn_storage_path_read_only_by_configuration",
          "1 if the path takes no changes because its configuration says so.",
          PathLabel(index))),
      readable_(registry->AddGauge("cairn_storage_path_readable",
                                   "1 if the path is open, 0 if it is offline.",
                                   PathLabel(index))),
      total_bytes_(registry->AddGauge("cairn_storage_path_total_bytes",
                                      "Size of the path's file system.",
                                      PathLabel(index))),
      free_bytes_(registry->AddGauge("cairn_storage_path_free_bytes",
                                     "Free bytes of the path's file system.",
                                     PathLabel(index))) {
  for (const CounterRow& row : kCounters) {
    counters_.push_back(
        registry->AddCounter(row.name, row.help, PathLabel(index)));
  }
  last_.resize(counters_.size());
  for (const GaugeRow& row : kGauges) {
    gauges_.push_back(registry->AddGauge(row.name, row.help, PathLabel(index)));
  }
}

void StorePathMetrics::OnCommit(int64_t entries, int64_t journal_bytes,
                                absl::Duration duration) {
  commit_entries_->Observe(static_cast<double>(entries));
  commit_bytes_->Observe(static_cast<double>(journal_bytes));
  commit_seconds_->Observe(duration);
}

void StorePathMetrics::OnSync(absl::Duration duration) {
  sync_seconds_->Observe(duration);
}

void StorePathMetrics::OnCheckpoint(absl::Duration pause) {
  checkpoint_seconds_->Observe(pause);
}

void StorePathMetrics::SetOffline() {
  writable_->Set(0);
  readable_->Set(0);
}

void StorePathMetrics::Set(const EngineNumbers& numbers,
                           const StorePathStatus& status) {
  writable_->Set(status.state == StorePathState::kActive ? 1 : 0);
  read_only_by_configuration_->Set(status.read_only_by_configuration ? 1 : 0);
  readable_->Set(status.state == StorePathState::kOffline ? 0 : 1);
  total_bytes_->Set(static_cast<double>(status.total_bytes));
  free_bytes_->Set(static_cast<double>(status.free_bytes));
  for (size_t i = 0; i < counters_.size(); ++i) {
    const uint64_t now = numbers.*kCounters[i].value;
    // A path that was opened anew counts from 0 again; ours goes on.
    if (now < last_[i]) last_[i] = 0;
    counters_[i]->Add(now - last_[i]);
    last_[i] = now;
  }
  for (size_t i = 0; i < gauges_.size(); ++i) {
    gauges_[i]->Set(static_cast<double>(numbers.*kGauges[i].value));
  }
}

UpkeepMetrics::UpkeepMetrics(MetricsRegistry* registry) {
  for (const UpkeepRow& row : kUpkeepCounters) {
    counters_.push_back(registry->AddCounter(row.name, row.help));
  }
  last_.resize(counters_.size());
  for (const UpkeepRow& row : kUpkeepGauges) {
    gauges_.push_back(registry->AddGauge(row.name, row.help));
  }
}

void UpkeepMetrics::Set(
    const std::function<UpkeepProgress(size_t)>& progress_of, size_t paths) {
  std::vector<int64_t> counters(counters_.size());
  std::vector<int64_t> gauges(gauges_.size());
  for (size_t path = 0; path < paths; ++path) {
    const UpkeepProgress progress = progress_of(path);
    for (size_t i = 0; i < counters.size(); ++i) {
      counters[i] += kUpkeepCounters[i].value(progress);
    }
    for (size_t i = 0; i < gauges.size(); ++i) {
      gauges[i] += kUpkeepGauges[i].value(progress);
    }
  }
  for (size_t i = 0; i < counters.size(); ++i) {
    if (counters[i] <= last_[i]) continue;
    counters_[i]->Add(static_cast<uint64_t>(counters[i] - last_[i]));
    last_[i] = counters[i];
  }
  for (size_t i = 0; i < gauges.size(); ++i) {
    gauges_[i]->Set(static_cast<double>(gauges[i]));
  }
}

void BatchItemMetrics::ItemAnswered(rpc::BatchOperation operation,
                                    const absl::Status& outcome,
                                    absl::Duration took, int64_t bytes_in,
                                    int64_t bytes_out) {
  rpc::MethodMetrics* method = &metrics_->batch_stat;
  switch (operation) {
    case rpc::BatchOperation::kPut:
      method = &metrics_->batch_put;
      break;
    case rpc::BatchOperation::kGet:
      method = &metrics_->batch_get;
      break;
    case rpc::BatchOperation::kDelete:
      method = &metrics_->batch_delete;
      break;
    case rpc::BatchOperation::kSetAttributes:
      method = &metrics_->batch_set_attributes;
      break;
    case rpc::BatchOperation::kAppend:
      method = &metrics_->batch_append;
      break;
    case rpc::BatchOperation::kStat:
      break;
    case rpc::BatchOperation::kNone:
      // An item that asks for nothing is an error of the stream.
      method = &metrics_->batch_stream;
      break;
  }
  if (outcome.ok()) {
    method->CountOk(1, took);
  } else {
    method->CountError(outcome);
  }
  if (bytes_in > 0) {
    metrics_->received_bytes->Add(static_cast<uint64_t>(bytes_in));
  }
  if (bytes_out > 0) {
    metrics_->sent_bytes->Add(static_cast<uint64_t>(bytes_out));
  }
}

uint64_t AddBudgetMetrics(const ByteBudget* budget, MetricsRegistry* registry) {
  Gauge* const limit =
      registry->AddGauge("cairn_storage_budget_max_bytes",
                         "Bytes of bodies that may be in flight.");
  Gauge* const taken = registry->AddGauge(
      "cairn_storage_budget_taken_bytes",
      "Bytes of bodies in flight. At the limit, callers wait.");
  Gauge* const waiting = registry->AddGauge(
      "cairn_storage_budget_waiting",
      "Bodies that wait for others to leave. Above 0 for long: raise "
      "limits.body_bytes_max, or clients are too slow.");
  return registry->AddRefresh([=] {
    limit->Set(static_cast<double>(budget->max_bytes()));
    taken->Set(static_cast<double>(budget->taken_bytes()));
    waiting->Set(static_cast<double>(budget->waiting()));
  });
}

}  // namespace storage
}  // namespace cairn
