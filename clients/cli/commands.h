// The commands: what each can be told, and how it is run. cli.cc binds the
// flags; docs/cli.md describes them all with their output.

#ifndef CAIRN_CLIENTS_CLI_COMMANDS_H_
#define CAIRN_CLIENTS_CLI_COMMANDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "clients/cli/catalog_access.h"
#include "clients/cli/durability.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/session.h"

namespace cairn {
namespace cli {

struct PutFlags {
  std::vector<std::string> paths;  // `-` is standard input, alone.
  bool recursive = false;
  int jobs = 16;
  std::string manifest;
  std::string extension;  // Instead of each file's own.
  bool has_extension = false;
  DurabilityFlags durability;
  std::string group;
  int store_path = -1;                  // Any.
  std::string request_id;               // With one file only.
  std::vector<std::string> attributes;  // KEY=VALUE.
  bool describe = false;  // `file-name` and `content-type` of each file, too.
  std::string expire_in;  // As LifetimeOf() takes it.
  std::string expire_at;  // The same.
  bool resume = false;
  std::string journal;    // With one file only.
  int streams = 1;        // Of each large file, with `resume`.
  bool appender = false;  // With one file only.

  // ID of a master and what is put behind it: with one file only.
  std::string derived_from;
  std::string prefix;

  // Neither: as the cluster is configured.
  bool dedup = false;
  bool no_dedup = false;
};
ExitCode RunPut(const PutFlags& flags, Session* session);

// What `put --appender` does.
ExitCode RunPutAppender(const PutFlags& flags, Session* session);

struct UpdateFlags {
  std::string file_id;
  int64_t offset = 0;    // `modify`; the size, of `truncate`.
  std::string path;      // What is written; empty or `-`: standard input.
  int64_t if_size = -1;  // Any.
  std::string if_version;
  std::string request_id;
  DurabilityFlags durability;
};
ExitCode RunAppend(const UpdateFlags& flags, Session* session);
ExitCode RunModify(const UpdateFlags& flags, Session* session);
ExitCode RunTruncate(const UpdateFlags& flags, Session* session);
ExitCode RunSeal(const UpdateFlags& flags, Session* session);

struct GetFlags {
  std::vector<std::string> file_ids;
  std::string output;    // File, folder or `-`.
  std::string manifest;  // Instead of file_ids.
  std::string range;
  bool original_name = false;  // Below `output`, by the attribute `file-name`.
  int jobs = 16;
  bool resume = false;
  int streams = 1;  // Of each large file, with `resume`.
};
ExitCode RunGet(const GetFlags& flags, Session* session);

struct StatFlags {
  std::vector<std::string> file_ids;
  bool offline = false;   // As `decode`.
  bool replicas = false;  // Ask every member of the group.
};
ExitCode RunStat(const StatFlags& flags, Session* session);

struct AttributesGetFlags {
  std::vector<std::string> file_ids;
};
ExitCode RunAttributesGet(const AttributesGetFlags& flags, Session* session);

// What `set`, `merge` and `remove` have.
struct AttributesChangeFlags {
  bool overwrite = false;
  std::string file_id;
  std::vector<std::string> attributes;  // KEY=VALUE.
  std::vector<std::string> remove;      // Keys.
  bool none = false;                    // With `overwrite`: that is meant.
  std::string if_version;               // As `stat` prints it; empty: any.
  std::string request_id;
  DurabilityFlags durability;
};
ExitCode RunAttributesChange(const AttributesChangeFlags& flags,
                             Session* session);

struct ExpireFlags {
  std::vector<std::string> file_ids;
  std::string in;          // As LifetimeOf() takes it.
  std::string at;          // The same.
  bool never = false;      // One of the three.
  std::string request_id;  // With one file only.
  DurabilityFlags durability;
};
ExitCode RunExpire(const ExpireFlags& flags, Session* session);

struct CpFlags {
  std::string file_id;
  std::string extension;  // Instead of the file's.
  bool has_extension = false;
  std::vector<std::string> attributes;  // KEY=VALUE, instead of the file's.
  bool no_attributes = false;
  std::string expire_in;  // As LifetimeOf() takes it.
  std::string expire_at;  // The same.
  std::string request_id;
  DurabilityFlags durability;
};
ExitCode RunCp(const CpFlags& flags, Session* session);

struct RmFlags {
  std::vector<std::string> file_ids;
  std::string manifest;  // Instead of file_ids.
  bool ignore_missing = false;
  bool with_derived = false;
  bool purge = false;
  DurabilityFlags durability;
  int jobs = 64;
};
ExitCode RunRm(const RmFlags& flags, Session* session);

struct UndeleteFlags {
  std::vector<std::string> file_ids;
  std::string request_id;  // With one file only.
  DurabilityFlags durability;
};
ExitCode RunUndelete(const UndeleteFlags& flags, Session* session);

struct CompactFlags {
  std::string node;        // As FindNode() takes it.
  int store_path = -1;     // All.
  double dead_share = -1;  // As the node is configured.
  bool drop_deleted = false;
};
ExitCode RunCompact(const CompactFlags& flags, Session* session);

struct DerivedFlags {
  std::string file_id;
};
ExitCode RunDerived(const DerivedFlags& flags, Session* session);

struct VerifyFlags {
  std::vector<std::string> file_ids;
  std::string manifest;  // Instead of file_ids.
  int jobs = 8;

  // A census instead of files: members of all groups, or of one.
  bool cluster = false;
  std::string group;
  bool deep = false;
  std::string rate;  // Of `deep`, bytes per second of a store path.
};
ExitCode RunVerify(const VerifyFlags& flags, Session* session);

// What `verify --cluster` does.
ExitCode RunCensus(const VerifyFlags& flags, Session* session);

struct LsFlags {
  CatalogFlags catalog;
  int store_path = -1;  // All.
  std::string prefix;
  std::string since;                    // See ParseMoment(); empty: any.
  std::string before;                   // The same.
  std::string kind;                     // Empty: any.
  std::vector<std::string> attributes;  // KEY or KEY=VALUE.
  bool with_attributes = false;
  bool long_form = false;
  uint64_t limit = 0;  // 0: none.
};
ExitCode RunLs(const LsFlags& flags, Session* session);

struct UploadsFlags {
  CatalogFlags catalog;
  int store_path = -1;  // All.
};
ExitCode RunUploads(const UploadsFlags& flags, Session* session);

struct UploadsAbortFlags {
  std::vector<std::string> upload_ids;
  bool yes = false;
};
ExitCode RunUploadsAbort(const UploadsAbortFlags& flags, Session* session);

struct WatchFlags {
  CatalogFlags catalog;
  int store_path = -1;  // All.
  std::string from;     // See group_tokens.h; empty: from now on.
  bool with_attributes = false;
  bool until_now = false;
};
ExitCode RunWatch(const WatchFlags& flags, Session* session);

struct ExportFlags {
  CatalogFlags catalog;
  std::string folder;
  bool incremental = false;
  int jobs = 16;
};
ExitCode RunExport(const ExportFlags& flags, Session* session);

struct ImportFlags {
  std::string folder;  // That `export` wrote.
  std::string map;     // Where old and new IDs go; empty: into the folder.
  std::string group;   // Empty lets the cluster's policy choose.
  DurabilityFlags durability;
  int jobs = 16;
};
ExitCode RunImport(const ImportFlags& flags, Session* session);

struct DecodeFlags {
  std::vector<std::string> file_ids;
};
ExitCode RunDecode(const DecodeFlags& flags, Session* session);

struct NodesFlags {
  std::string group;
  bool with_removed = false;
};
ExitCode RunNodes(const NodesFlags& flags, Session* session);
ExitCode RunGroups(Session* session);

struct StatusFlags {
  bool watch = false;
};
ExitCode RunStatus(const StatusFlags& flags, Session* session);

// What all decisions of operators have.
struct DecisionFlags {
  std::string reason;
  std::string secret_file;
  bool dry_run = false;
  bool yes = false;
};

struct NodeSetFlags {
  std::string node;  // UUID, name or address.
  std::string role;  // read_write, read_only, draining, standby, own; empty: as
                     // it is.
  std::string weight;    // A number, or `own`; empty: as it is.
  std::string priority;  // The same.
  std::string zone;      // A zone, or `own`; empty: as it is.
  std::string reserve;   // Percent, or `own`; empty: as it is.
  DecisionFlags decision;
};
ExitCode RunNodeSet(const NodeSetFlags& flags, Session* session);

struct NodeDrainFlags {
  std::string node;
  bool no_wait = false;
  DecisionFlags decision;
};
ExitCode RunNodeDrain(const NodeDrainFlags& flags, Session* session);

struct NodeRemoveFlags {
  std::string node;
  bool force = false;
  DecisionFlags decision;
};
ExitCode RunNodeRemove(const NodeRemoveFlags& flags, Session* session);

struct NodeRestoreFlags {
  std::string node;
  DecisionFlags decision;
};
ExitCode RunNodeRestore(const NodeRestoreFlags& flags, Session* session);

struct GroupSetFlags {
  std::string group;
  std::string weight;  // A number, or `own`.
  DecisionFlags decision;
};
ExitCode RunGroupSet(const GroupSetFlags& flags, Session* session);

struct QuotaFlags {
  std::string subject;  // The group, or the client's identity.
  std::string files;    // A number, or `none`; empty: as it is.
  std::string bytes;    // A size, or `none`; empty: as it is.
  DecisionFlags decision;
};
ExitCode RunGroupQuota(const QuotaFlags& flags, Session* session);
ExitCode RunClientQuota(const QuotaFlags& flags, Session* session);

struct ClientListFlags {
  std::string group;  // Empty: all.
};
ExitCode RunClientList(const ClientListFlags& flags, Session* session);

struct BenchFlags {
  std::vector<std::string>
      operations;             // Phases: put, get, stat, delete, mixed.
  std::string size = "4KiB";  // See SizeDistribution::Parse().
  int64_t count = 0;          // Of each phase; 0: see LoadOptions.
  std::string duration;       // Of each phase.
  int in_flight = 64;
  std::string mode = "callback";  // callback, blocking
  DurabilityFlags durability = {"cached"};
  std::string group;
  std::string extension;
  int attributes = 0;              // Of each put.
  std::string order = "random";    // random, sequential
  std::string verify = "content";  // content, info
  std::string mix = "put=10,get=80,stat=5,delete=5";
  uint64_t seed = 1;
  std::string files_in;
  std::string files_out;
  std::string compare;
};
ExitCode RunBench(const BenchFlags& flags, Session* session);

ExitCode RunCapabilities(Session* session);

ExitCode RunVersion(Session* session);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_COMMANDS_H_
