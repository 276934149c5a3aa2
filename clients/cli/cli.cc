#include "clients/cli/cli.h"

#include <algorithm>
#include <functional>
#include <sstream>
#include <utility>

#include "CLI/CLI.hpp"
#include "clients/cli/commands.h"
#include "clients/cli/completion.h"
#include "clients/cli/session.h"
#include "lib/attributes/attributes.h"

namespace cairn {
namespace cli {
namespace {

constexpr int kJobsMax = 1024;
constexpr int kInFlightMax = 65536;

constexpr char kFooter[] =
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 unavailable,\n"
    "            5 damaged, 130 interrupted.\n"
    "Environment: CAIRN_TRACKERS (addresses, by commas), CAIRN_SECRET_FILE,\n"
    "             CAIRN_TLS_CA, CAIRN_TLS_CERT, CAIRN_TLS_KEY,\n"
    "             CAIRN_TLS_SERVER_NAME, NO_COLOR.\n"
    "\n"
    "  id=$(cairn put photo.jpg --tracker localhost:7700)\n"
    "  cairn get \"$id\" -o photo.jpg\n"
    "  cairn put -r photos --manifest photos.list && cairn verify --manifest "
    "photos.list\n";

// All flags of all commands. Values bind to the members, so an object must
// outlive the App.
class Commands {
 public:
  explicit Commands(CLI::App* app);

  GlobalFlags global;

  // Runs the command that was parsed.
  ExitCode Run(Session* session);

 private:
  using Runner = std::function<ExitCode(Session*)>;

  CLI::App* Add(const char* name, const char* help, Runner runner);

  // A word that is followed by one of its own commands, and one of these.
  CLI::App* AddFamily(const char* name, const char* help);
  CLI::App* AddTo(CLI::App* family, const char* name, const char* help,
                  Runner runner);
  void AddGlobalFlags();
  void AddPut();
  void AddGet();
  void AddUpdates();
  void AddStat();
  void AddAttributes();
  void AddExpire();
  void AddCp();
  void AddRm();
  void AddUndelete();
  void AddCompact();
  void AddDerived();
  void AddVerify();
  void AddCatalog();
  void AddUploads();
  void AddDecode();
  void AddCluster();
  void AddNode();
  void AddGroup();
  void AddClient();
  void AddBench();
  void AddOthers();

  // `-j`, `--manifest`, `--level`, as they are everywhere.
  static void AddJobs(CLI::App* command, int* jobs);
  static void AddManifest(CLI::App* command, std::string* manifest);
  static void AddDurability(CLI::App* command, DurabilityFlags* flags);
  static void AddFileIds(CLI::App* command, std::vector<std::string>* ids);
  static void AddCatalogFlags(CLI::App* command, CatalogFlags* flags);
  static void AddDecision(CLI::App* command, DecisionFlags* flags);
  static void AddQuota(CLI::App* command, QuotaFlags* flags);

  ExitCode RunCompletion(Session* session);

  CLI::App* const app_;
  std::vector<std::pair<CLI::App*, Runner>> commands_;
  PutFlags put_;
  GetFlags get_;
  UpdateFlags append_;
  UpdateFlags modify_;
  UpdateFlags truncate_;
  UpdateFlags seal_;
  StatFlags stat_;
  AttributesGetFlags attributes_get_;
  AttributesChangeFlags attributes_set_;
  AttributesChangeFlags attributes_merge_;
  AttributesChangeFlags attributes_remove_;
  ExpireFlags expire_;
  CpFlags cp_;
  RmFlags rm_;
  UndeleteFlags undelete_;
  CompactFlags compact_;
  DerivedFlags derived_;
  VerifyFlags verify_;
  LsFlags ls_;
  UploadsFlags uploads_;
  UploadsAbortFlags uploads_abort_;
  WatchFlags watch_;
  ExportFlags export_;
  ImportFlags import_;
  DecodeFlags decode_;
  NodesFlags nodes_;
  NodesFlags node_list_;
  StatusFlags status_;
  NodeSetFlags node_set_;
  NodeDrainFlags node_drain_;
  NodeRemoveFlags node_remove_;
  NodeRestoreFlags node_restore_;
  GroupSetFlags group_set_;
  QuotaFlags group_quota_;
  QuotaFlags client_quota_;
  ClientListFlags client_list_;
  BenchFlags bench_;
  std::string shell_;
};

Commands::Commands(CLI::App* app) : app_(app) {
  app_->require_subcommand(1);
  app_->fallthrough();  // Global flags may stand behind the command.
  app_->footer(kFooter);
  AddGlobalFlags();
  AddPut();
  AddGet();
  AddUpdates();
  AddStat();
  AddAttributes();
  AddExpire();
  AddCp();
  AddRm();
  AddUndelete();
  AddDerived();
  AddVerify();
  AddCatalog();
  AddUploads();
  AddDecode();
  AddCluster();
  AddNode();
  AddCompact();
  AddGroup();
  AddClient();
  AddBench();
  AddOthers();
}

CLI::App* Commands::Add(const char* name, const char* help, Runner runner) {
  return AddTo(app_, name, help, std::move(runner));
}

CLI::App* Commands::AddFamily(const char* name, const char* help) {
  CLI::App* const family = app_->add_subcommand(name, help);
  family->fallthrough();
  family->require_subcommand(1);
  return family;
}

CLI::App* Commands::AddTo(CLI::App* family, const char* name, const char* help,
                          Runner runner) {
  CLI::App* const command = family->add_subcommand(name, help);
  command->fallthrough();
  commands_.emplace_back(command, std::move(runner));
  return command;
}

ExitCode Commands::Run(Session* session) {
  for (const auto& [command, runner] : commands_) {
    if (command->parsed()) return runner(session);
  }
  return kExitUsage;
}

void Commands::AddGlobalFlags() {
  app_->add_option("--tracker", global.trackers,
                   "Tracker to ask, HOST:PORT. Repeat for several; any one "
                   "that answers is enough.")
      ->take_all()
      ->allow_extra_args(false);
  app_->add_option("--storage", global.storage,
                   "Storage node to use directly, without trackers.");
  app_->add_option("--tls-ca", global.tls_ca,
                   "Certificates (PEM) of the authorities that stand for the "
                   "cluster's; turns TLS on.");
  app_->add_option("--tls-cert", global.tls_cert,
                   "Certificate (PEM) of this side, where the cluster asks for "
                   "one.");
  app_->add_option("--tls-key", global.tls_key,
                   "Key (PEM) of --tls-cert; readable by you alone.");
  app_->add_option("--tls-server-name", global.tls_server_name,
                   "Name that servers' certificates carry, if it is not the "
                   "host of their address.");
  app_->add_option("--zone", global.zone,
                   "Zone of this machine, for policies that prefer what is "
                   "near.");
  app_->add_option("--timeout", global.timeout,
                   "Time for one operation with all its repetitions: 500ms, "
                   "30s, 5m.");
  app_->add_flag("--json", global.json,
                 "Results as JSON, one object a line, on standard output.");
  app_->add_flag("--print-grpcurl", global.print_grpcurl,
                 "Print the same call for grpcurl, and do nothing else.");
  app_->add_flag("--no-progress", global.no_progress, "No progress.");
}

void Commands::AddJobs(CLI::App* command, int* jobs) {
  command->add_option("-j,--jobs", *jobs, "Files at a time.")
      ->check(CLI::Range(1, kJobsMax))
      ->capture_default_str();
}

void Commands::AddManifest(CLI::App* command, std::string* manifest) {
  command->add_option("--manifest", *manifest,
                      "All files of a list that `cairn put` wrote.");
}

void Commands::AddDurability(CLI::App* command, DurabilityFlags* flags) {
  command
      ->add_option("--level", flags->level,
                   "What an answer survives: cached a killed process, "
                   "synced a power cut.")
      ->check(CLI::IsMember({"cached", "synced"}))
      ->capture_default_str();
  command
      ->add_option("--replicas", flags->replicas,
                   "Members that must have it; 0 is the group's default.")
      ->check(CLI::Range(0, 32));
  command->add_flag("--required", flags->required,
                    "Fails where fewer members can have it, instead of "
                    "making do with those that are up.");
}

void Commands::AddFileIds(CLI::App* command, std::vector<std::string>* ids) {
  command->add_option("ID", *ids, "File IDs.");
}

void Commands::AddPut() {
  CLI::App* const put =
      Add("put", "Store files; prints their IDs.", [this](Session* session) {
        put_.has_extension = app_->get_subcommand("put")->count("--ext") > 0;
        return RunPut(put_, session);
      });
  put->add_option("PATH", put_.paths,
                  "Files, folders with -r, or - for standard input.")
      ->required();
  put->add_flag("-r,--recursive", put_.recursive,
                "Folders with all that is below them.");
  AddJobs(put, &put_.jobs);
  put->add_option("--manifest", put_.manifest,
                  "Write ID, size, CRC-32C and path of each stored file to "
                  "this list, durably, as it goes.");
  put->add_option("--ext", put_.extension,
                  "Extension in the ID instead of the file's own; '' for "
                  "none.");
  AddDurability(put, &put_.durability);
  put->add_option("--group", put_.group, "Group to store in.");
  put->add_option("--store-path", put_.store_path,
                  "Number of the store path on the node.")
      ->check(CLI::Range(0, 255));
  put->add_option("--request-id", put_.request_id,
                  "A UUID that makes this put repeatable: the same again "
                  "stores nothing and prints the same ID.");
  put->add_flag("--resume", put_.resume,
                "Remember how far large files are, so that the same command "
                "goes on there after a crash of either side.");
  put->add_option("--journal", put_.journal,
                  "Where --resume remembers it, for one file; default: a file "
                  "in $XDG_STATE_HOME/cairn/uploads.");
  put->add_option("--streams", put_.streams,
                  "Parts of a large file that are sent at a time, with "
                  "--resume.")
      ->check(CLI::Range(1, 64));
  put->add_option("--attribute", put_.attributes,
                  "KEY=VALUE, said of each file. Repeat for several.")
      ->take_all()
      ->allow_extra_args(false);
  put->add_flag("--describe", put_.describe,
                "Say of each file its name (file-name) and, by its extension, "
                "its type (content-type).");
  put->add_option("--expire-in", put_.expire_in,
                  "How long each file lives, from when it is stored on: 90s, "
                  "12h, 7d.");
  put->add_option("--expire-at", put_.expire_at,
                  "When each file expires: 2030-01-31T12:00:00Z.");
  put->add_flag("--appender", put_.appender,
                "One file that can be changed: see append, modify, truncate.");
  put->add_option("--derived-from", put_.derived_from,
                  "ID of a file, of which this one is a form: a preview, a "
                  "translation. Its ID is that one with --prefix.");
  put->add_option("--prefix", put_.prefix,
                  "What --derived-from puts into the ID: 1 to 32 letters, "
                  "digits, - and _.");
  CLI::Option* const dedup = put->add_flag(
      "--dedup", put_.dedup,
      "Share the content of a file that has the same; each of them is deleted "
      "on its own.");
  put->add_flag("--no-dedup", put_.no_dedup,
                "Store the content also where the cluster shares contents by "
                "itself.")
      ->excludes(dedup);
}

void Commands::AddUpdates() {
  const auto add_common = [](CLI::App* command, UpdateFlags* flags) {
    command
        ->add_option("--if-size", flags->if_size,
                     "Only if the file has so many bytes.")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--if-version", flags->if_version,
                        "Only if the file has this version, as `stat` says "
                        "it.");
    command->add_option("--request-id", flags->request_id,
                        "A UUID that makes this repeatable: the same again "
                        "changes nothing.");
    AddDurability(command, &flags->durability);
  };
  CLI::App* const append =
      Add("append", "Add to the end of an appender; prints its size.",
          [this](Session* session) { return RunAppend(append_, session); });
  append->add_option("ID", append_.file_id, "File ID.")->required();
  append->add_option("PATH", append_.path,
                     "File with what is added; without, standard input.");
  add_common(append, &append_);

  CLI::App* const modify =
      Add("modify", "Write into an appender; prints its size.",
          [this](Session* session) { return RunModify(modify_, session); });
  modify->add_option("ID", modify_.file_id, "File ID.")->required();
  modify
      ->add_option("OFFSET", modify_.offset,
                   "First byte to write, at most the size.")
      ->required()
      ->check(CLI::NonNegativeNumber);
  modify->add_option("PATH", modify_.path,
                     "File with what is written; without, standard input.");
  add_common(modify, &modify_);

  CLI::App* const truncate =
      Add("truncate", "Cut an appender off, or add zeros; prints its size.",
          [this](Session* session) { return RunTruncate(truncate_, session); });
  truncate->add_option("ID", truncate_.file_id, "File ID.")->required();
  truncate->add_option("SIZE", truncate_.offset, "Bytes that it is to have.")
      ->required()
      ->check(CLI::NonNegativeNumber);
  add_common(truncate, &truncate_);

  CLI::App* const seal =
      Add("seal", "Make a normal file of an appender; prints its new ID.",
          [this](Session* session) { return RunSeal(seal_, session); });
  seal->add_option("ID", seal_.file_id, "File ID.")->required();
  add_common(seal, &seal_);
}

void Commands::AddGet() {
  CLI::App* const get = Add("get", "Read files.", [this](Session* session) {
    return RunGet(get_, session);
  });
  AddFileIds(get, &get_.file_ids);
  get->add_option("-o,--output", get_.output,
                  "File or folder to write to, - for standard output. A file "
                  "appears when it is whole, or not at all.");
  AddManifest(get, &get_.manifest);
  get->add_option("--range", get_.range,
                  "Bytes to read: A-B (both inclusive), A-, or -N for the "
                  "last N.");
  get->add_flag("-O,--original-name", get_.original_name,
                "Name each file as it was when it was stored (attribute "
                "file-name), made safe. Replaces nothing.");
  AddJobs(get, &get_.jobs);
  get->add_flag("--resume", get_.resume,
                "Keep what was read of large files beside their place, so that "
                "the same command goes on there.");
  get->add_option("--streams", get_.streams,
                  "Parts of a large file that are read at a time, with "
                  "--resume.")
      ->check(CLI::Range(1, 64));
}

void Commands::AddStat() {
  CLI::App* const stat =
      Add("stat", "Show what the cluster knows of files.",
          [this](Session* session) { return RunStat(stat_, session); });
  stat->add_option("ID", stat_.file_ids, "File IDs.")->required();
  stat->add_flag("--offline", stat_.offline,
                 "Only what the IDs say by themselves, without any server, as "
                 "decode does.");
  stat->add_flag("--replicas", stat_.replicas,
                 "Ask every member of the group what it has of the file.");
}

void Commands::AddAttributes() {
  CLI::App* const family =
      AddFamily("attributes", "What users say of files: keys and values.");
  CLI::App* const get =
      AddTo(family, "get", "Print the attributes of files.",
            [this](Session* session) {
              return RunAttributesGet(attributes_get_, session);
            });
  get->add_option("ID", attributes_get_.file_ids, "File IDs.")->required();

  const auto add_change = [this, family](const char* name, const char* help,
                                         AttributesChangeFlags* flags) {
    CLI::App* const command =
        AddTo(family, name, help, [flags](Session* session) {
          return RunAttributesChange(*flags, session);
        });
    command->add_option("ID", flags->file_id, "File ID.")->required();
    command->add_option("--if-version", flags->if_version,
                        "Only if the file has this version, as `cairn stat` "
                        "prints it.");
    command->add_option("--request-id", flags->request_id,
                        "A UUID that makes this change repeatable: the same "
                        "again changes nothing.");
    AddDurability(command, &flags->durability);
    return command;
  };
  attributes_set_.overwrite = true;
  CLI::App* const set = add_change(
      "set", "Give a file these attributes and no others.", &attributes_set_);
  set->add_option("KEY=VALUE", attributes_set_.attributes,
                  "All that it is to have.");
  set->add_flag("--none", attributes_set_.none,
                "It is to have no attributes at all.");
  CLI::App* const merge =
      add_change("merge", "Add attributes to those of a file, or change them.",
                 &attributes_merge_);
  merge->add_option("KEY=VALUE", attributes_merge_.attributes,
                    "In place of what the keys had.");
  merge
      ->add_option("--remove", attributes_merge_.remove,
                   "A key that it is to lose. Repeat for several.")
      ->take_all()
      ->allow_extra_args(false);
  CLI::App* const remove =
      add_change("remove", "Take attributes from a file.", &attributes_remove_);
  remove->add_option("KEY", attributes_remove_.remove, "Keys.")->required();
}

void Commands::AddExpire() {
  CLI::App* const expire =
      Add("expire", "Say when files expire, or that they never do.",
          [this](Session* session) { return RunExpire(expire_, session); });
  expire->add_option("ID", expire_.file_ids, "File IDs.")->required();
  expire->add_option("--in", expire_.in, "After so long: 90s, 12h, 7d.");
  expire->add_option("--at", expire_.at, "At this time: 2030-01-31T12:00:00Z.");
  expire->add_flag("--never", expire_.never, "Not at all.");
  expire->add_option("--request-id", expire_.request_id,
                     "A UUID that makes this change repeatable, of one file: "
                     "the same again changes nothing.");
  AddDurability(expire, &expire_.durability);
}

void Commands::AddCp() {
  CLI::App* const cp =
      Add("cp", "Make a file of another one; prints the new ID.",
          [this](Session* session) {
            cp_.has_extension = app_->get_subcommand("cp")->count("--ext") > 0;
            return RunCp(cp_, session);
          });
  cp->add_option("ID", cp_.file_id, "ID of the file to copy.")->required();
  cp->add_option("--ext", cp_.extension,
                 "Extension in the new ID instead of the file's; '' for none.");
  cp->add_option("--attribute", cp_.attributes,
                 "KEY=VALUE, said of the new file instead of what is said of "
                 "the other one. Repeat for several.")
      ->take_all()
      ->allow_extra_args(false);
  cp->add_flag("--no-attributes", cp_.no_attributes,
               "Say nothing of the new file.");
  cp->add_option("--expire-in", cp_.expire_in,
                 "How long the new file lives: 90s, 12h, 7d.");
  cp->add_option("--expire-at", cp_.expire_at,
                 "When the new file expires: 2030-01-31T12:00:00Z.");
  cp->add_option("--request-id", cp_.request_id,
                 "A UUID that makes this repeatable: the same again makes no "
                 "file and prints the same ID.");
  AddDurability(cp, &cp_.durability);
}

void Commands::AddRm() {
  CLI::App* const rm = Add("rm", "Delete files.", [this](Session* session) {
    return RunRm(rm_, session);
  });
  AddFileIds(rm, &rm_.file_ids);
  AddManifest(rm, &rm_.manifest);
  rm->add_flag("-f,--ignore-missing", rm_.ignore_missing,
               "Files that are not there are no error.");
  rm->add_flag("--with-derived", rm_.with_derived,
               "Delete what is derived from the files, too, and first.");
  rm->add_flag("--purge", rm_.purge,
               "There is no way back: give the content up at once, also of "
               "files that were deleted before.");
  AddDurability(rm, &rm_.durability);
  AddJobs(rm, &rm_.jobs);
}

void Commands::AddUndelete() {
  CLI::App* const undelete =
      Add("undelete", "Bring deleted files back.",
          [this](Session* session) { return RunUndelete(undelete_, session); });
  undelete->add_option("ID", undelete_.file_ids, "File IDs.")->required();
  undelete->add_option("--request-id", undelete_.request_id,
                       "A UUID that makes this change repeatable, of one file: "
                       "the same again changes nothing.");
  AddDurability(undelete, &undelete_.durability);
}

void Commands::AddCompact() {
  CLI::App* const compact =
      Add("compact", "Give the room of deleted files back now, on one node.",
          [this](Session* session) { return RunCompact(compact_, session); });
  compact->add_option("NODE", compact_.node, "Its name, UUID or address.")
      ->required();
  compact->add_option("--store-path", compact_.store_path, "This one alone.")
      ->check(CLI::Range(0, 255));
  compact
      ->add_option("--dead-share", compact_.dead_share,
                   "Segments with at least this share of dead bytes, 0 to 1; "
                   "default: as the node is configured.")
      ->check(CLI::Range(0.0, 1.0));
  compact->add_flag("--drop-deleted", compact_.drop_deleted,
                    "First give up what the node keeps of deleted files: "
                    "`cairn undelete` cannot bring them back from it any "
                    "more.");
}

void Commands::AddDerived() {
  CLI::App* const derived =
      Add("derived", "List the files that are derived from a file.",
          [this](Session* session) { return RunDerived(derived_, session); });
  derived->add_option("ID", derived_.file_id, "File ID of the master.")
      ->required();
}

void Commands::AddVerify() {
  CLI::App* const verify =
      Add("verify",
          "Read files again and check every byte; or take a census of the "
          "cluster.",
          [this](Session* session) { return RunVerify(verify_, session); });
  AddFileIds(verify, &verify_.file_ids);
  AddManifest(verify, &verify_.manifest);
  AddJobs(verify, &verify_.jobs);
  verify->add_flag("--cluster", verify_.cluster,
                   "Let the members of each group compare what they have, and "
                   "mend what one of them lacks.");
  verify->add_option("--group", verify_.group,
                     "With --cluster: only this group.");
  verify->add_flag("--deep", verify_.deep,
                   "With --cluster: let every member read all of its contents "
                   "and check them, too.");
  verify->add_option("--rate", verify_.rate,
                     "With --deep: bytes that each store path may read in a "
                     "second, as 50MiB. Without it as fast as it can.");
}

void Commands::AddCatalogFlags(CLI::App* command, CatalogFlags* flags) {
  command->add_option("--group", flags->group, "Of this group alone.");
  command->add_option("--node", flags->node,
                      "As this node has them: UUID, name or address.");
  command->add_option("--secret-file", flags->secret_file,
                      "File that holds the cluster secret; default: "
                      "CAIRN_SECRET_FILE.");
}

void Commands::AddCatalog() {
  CLI::App* const ls =
      Add("ls", "List files; needs the cluster secret.",
          [this](Session* session) { return RunLs(ls_, session); });
  AddCatalogFlags(ls, &ls_.catalog);
  ls->add_option("--store-path", ls_.store_path, "Of this store path alone.")
      ->check(CLI::Range(0, 255));
  ls->add_option("--prefix", ls_.prefix,
                 "Whose ID behind group and path, or whose last part, begins "
                 "with this.");
  ls->add_option("--since", ls_.since,
                 "Created then or later: 2026-03-01, 2026-03-01T12:00:00Z, "
                 "@1767225600, or an age as 15m, 2h, 7d.");
  ls->add_option("--before", ls_.before, "Created before that; as --since.");
  ls->add_option("--kind", ls_.kind, "Of this kind alone.")
      ->check(CLI::IsMember({"normal", "appender", "derived"}));
  ls->add_option("--attribute", ls_.attributes,
                 "KEY=VALUE, or KEY for any value. Repeat for several, which "
                 "it must all have.")
      ->take_all()
      ->allow_extra_args(false);
  ls->add_flag("--attributes", ls_.with_attributes,
               "Print their attributes, too.");
  ls->add_flag("-l,--long", ls_.long_form,
               "Time, kind, size and CRC-32C before each ID.");
  ls->add_option("--limit", ls_.limit, "End after so many files.");

  CLI::App* const watch =
      Add("watch", "Tell what becomes of files; needs the cluster secret.",
          [this](Session* session) { return RunWatch(watch_, session); });
  AddCatalogFlags(watch, &watch_.catalog);
  watch
      ->add_option("--store-path", watch_.store_path,
                   "Of this store path alone.")
      ->check(CLI::Range(0, 255));
  watch->add_option("--from", watch_.from,
                    "Token to go on from, as `watch` gave it; without, from "
                    "now on.");
  watch->add_flag("--attributes", watch_.with_attributes,
                  "Print their attributes, too.");
  watch->add_flag("--until-now", watch_.until_now,
                  "End where the cluster stands instead of waiting for more.");

  CLI::App* const exporting =
      Add("export", "Copy all files into a folder; needs the cluster secret.",
          [this](Session* session) { return RunExport(export_, session); });
  exporting->add_option("DIR", export_.folder, "Folder, made if it is missing.")
      ->required();
  AddCatalogFlags(exporting, &export_.catalog);
  exporting->add_flag("--incremental", export_.incremental,
                      "What has changed since the last export into DIR.");
  AddJobs(exporting, &export_.jobs);

  CLI::App* const importing =
      Add("import", "Store what `cairn export` wrote, under new IDs.",
          [this](Session* session) { return RunImport(import_, session); });
  importing->add_option("DIR", import_.folder, "Folder of an export.")
      ->required();
  importing->add_option("--map", import_.map,
                        "List of old and new IDs; default: DIR/import.list.");
  importing->add_option("--group", import_.group, "Group to store in.");
  AddDurability(importing, &import_.durability);
  AddJobs(importing, &import_.jobs);
}

void Commands::AddUploads() {
  CLI::App* const uploads = app_->add_subcommand(
      "uploads",
      "List uploads that are not finished, or abort some; needs the cluster "
      "secret.");
  uploads->fallthrough();
  uploads->require_subcommand(0, 1);
  AddCatalogFlags(uploads, &uploads_.catalog);
  uploads
      ->add_option("--store-path", uploads_.store_path,
                   "Of this store path alone.")
      ->check(CLI::Range(0, 255));
  // Before its family, which counts as given when it is.
  CLI::App* const abort =
      AddTo(uploads, "abort", "Remove uploads and what has arrived of them.",
            [this](Session* session) {
              return RunUploadsAbort(uploads_abort_, session);
            });
  abort->add_option("ID", uploads_abort_.upload_ids, "Upload IDs.")->required();
  abort->add_flag("-y,--yes", uploads_abort_.yes,
                  "Do not ask. Needed where nobody can be asked.");
  commands_.emplace_back(uploads, [this](Session* session) {
    return RunUploads(uploads_, session);
  });
}

void Commands::AddDecode() {
  CLI::App* const decode =
      Add("decode", "Show what is in an ID, without any server.",
          [this](Session* session) { return RunDecode(decode_, session); });
  decode->add_option("ID", decode_.file_ids, "File IDs.")->required();
}

void Commands::AddCluster() {
  CLI::App* const nodes =
      Add("nodes", "List the nodes of the cluster.",
          [this](Session* session) { return RunNodes(nodes_, session); });
  nodes->add_option("--group", nodes_.group, "Only this group's.");
  Add("groups", "List the groups with their room.",
      [](Session* session) { return RunGroups(session); });
  CLI::App* const status =
      Add("status", "One verdict over the cluster, why, and what to do next.",
          [this](Session* session) { return RunStatus(status_, session); });
  status->add_flag(
      "--watch", status_.watch,
      "Again every 2 s: on a terminal drawn anew, elsewhere a line "
      "for each change. Ctrl-C ends it.");
}

void Commands::AddDecision(CLI::App* command, DecisionFlags* flags) {
  command->add_option("--reason", flags->reason,
                      "Why, for those who will wonder. At most 200 bytes.");
  command->add_option("--secret-file", flags->secret_file,
                      "File that holds the cluster secret; CAIRN_SECRET_FILE "
                      "names it too.");
  command->add_flag("--dry-run", flags->dry_run,
                    "Only tell what would happen.");
  command->add_flag("-y,--yes", flags->yes,
                    "Do not ask. Needed where nobody can be asked.");
}

void Commands::AddNode() {
  CLI::App* const node =
      AddFamily("node", "What nodes are used for, and which are members.");
  CLI::App* const list =
      AddTo(node, "list", "List the nodes, with those that were removed.",
            [this](Session* session) {
              node_list_.with_removed = true;
              return RunNodes(node_list_, session);
            });
  list->add_option("--group", node_list_.group, "Only this group's.");

  CLI::App* const set = AddTo(
      node, "set", "Decide what a node is used for.",
      [this](Session* session) { return RunNodeSet(node_set_, session); });
  set->add_option("NODE", node_set_.node, "Name, UUID or address.")->required();
  set->add_option("--role", node_set_.role,
                  "read_write, read_only, draining, standby, or own: what its "
                  "configuration says.")
      ->check(CLI::IsMember(
          {"read_write", "read_only", "draining", "standby", "own"}));
  set->add_option("--weight", node_set_.weight,
                  "Share of uploads among the group's nodes, 1 to 1000, or "
                  "own.");
  set->add_option("--priority", node_set_.priority,
                  "The lowest goes first where a group places by priority; a "
                  "number, or own.");
  set->add_option("--in-zone", node_set_.zone,
                  "The zone that it is in, or own.");
  set->add_option("--reserve", node_set_.reserve,
                  "What uploads leave free on each of its disks, 0 to 90 "
                  "percent of the disk, or own.");
  AddDecision(set, &node_set_.decision);

  CLI::App* const drain = AddTo(
      node, "drain",
      "Let a node take no uploads, and wait until all that it has is at "
      "other members.",
      [this](Session* session) { return RunNodeDrain(node_drain_, session); });
  drain->add_option("NODE", node_drain_.node, "Name, UUID or address.")
      ->required();
  drain->add_flag("--no-wait", node_drain_.no_wait,
                  "Return as soon as it is decided. Without this, Ctrl-C ends "
                  "the wait and leaves the drain in force.");
  AddDecision(drain, &node_drain_.decision);

  CLI::App* const remove =
      AddTo(node, "remove", "Take a node out of the cluster. Its disks stay.",
            [this](Session* session) {
              return RunNodeRemove(node_remove_, session);
            });
  remove->add_option("NODE", node_remove_.node, "Name, UUID or address.")
      ->required();
  remove->add_flag("--force", node_remove_.force,
                   "Also while it serves and does not drain, or holds what no "
                   "other member has.");
  AddDecision(remove, &node_remove_.decision);

  CLI::App* const restore =
      AddTo(node, "restore", "Let a node back that was removed.",
            [this](Session* session) {
              return RunNodeRestore(node_restore_, session);
            });
  restore->add_option("NODE", node_restore_.node, "Name, UUID or address.")
      ->required();
  AddDecision(restore, &node_restore_.decision);
}

void Commands::AddGroup() {
  CLI::App* const group = AddFamily("group", "How groups share the uploads.");
  AddTo(group, "list", "List the groups with their room.",
        [](Session* session) { return RunGroups(session); });
  CLI::App* const set = AddTo(
      group, "set", "Decide about a group.",
      [this](Session* session) { return RunGroupSet(group_set_, session); });
  set->add_option("GROUP", group_set_.group, "Its name.")->required();
  set->add_option("--weight", group_set_.weight,
                  "Share of uploads where groups are chosen by weight, 0 to "
                  "1000, or own: what the policy says.")
      ->required();
  AddDecision(set, &group_set_.decision);

  CLI::App* const quota =
      AddTo(group, "quota", "Decide how much a group may hold.",
            [this](Session* session) {
              return RunGroupQuota(group_quota_, session);
            });
  quota->add_option("GROUP", group_quota_.subject, "Its name.")->required();
  AddQuota(quota, &group_quota_);
}

void Commands::AddQuota(CLI::App* command, QuotaFlags* flags) {
  command->add_option("--files", flags->files,
                      "Files that there may be, or none: as many as fit.");
  command->add_option("--bytes", flags->bytes,
                      "Bytes that they may have, as 500GiB, or none: as many "
                      "as fit.");
  AddDecision(command, &flags->decision);
}

void Commands::AddClient() {
  CLI::App* const client = AddFamily(
      "client",
      "What clients may store, by the common name of their certificate.");
  CLI::App* const list =
      AddTo(client, "list",
            "List the clients with what they have in each group, and may have.",
            [this](Session* session) {
              return RunClientList(client_list_, session);
            });
  list->add_option("--group", client_list_.group, "Only this group's.");
  CLI::App* const quota =
      AddTo(client, "quota", "Decide how much each group may hold of a client.",
            [this](Session* session) {
              return RunClientQuota(client_quota_, session);
            });
  quota
      ->add_option("IDENTITY", client_quota_.subject,
                   "The common name of its certificate.")
      ->required();
  AddQuota(quota, &client_quota_);
}

void Commands::AddBench() {
  CLI::App* const bench =
      Add("bench", "Measure a cluster: operations a second, latency, CPU.",
          [this](Session* session) { return RunBench(bench_, session); });
  bench
      ->add_option("OPERATION", bench_.operations,
                   "Phases, one after the other on the same files: put, get, "
                   "stat, delete, append, mixed.")
      ->required()
      ->check(
          CLI::IsMember({"put", "get", "stat", "delete", "append", "mixed"}));
  bench
      ->add_option("--size", bench_.size,
                   "Of files: 4KiB, uniform:1KiB-64KiB, or "
                   "lognormal:MEDIAN,SIGMA[,MAX].")
      ->capture_default_str();
  bench
      ->add_option("--count", bench_.count,
                   "Operations in each phase. Without it and --duration: "
                   "every file once, 10000 puts.")
      ->check(CLI::PositiveNumber);
  bench->add_option("--duration", bench_.duration,
                    "Time for each phase: 500ms, 10s.");
  bench->add_option("--in-flight", bench_.in_flight, "Operations at a time.")
      ->check(CLI::Range(1, kInFlightMax))
      ->capture_default_str();
  bench
      ->add_option("--mode", bench_.mode,
                   "callback, or blocking: a thread for each operation in "
                   "flight.")
      ->check(CLI::IsMember({"callback", "blocking"}))
      ->capture_default_str();
  AddDurability(bench, &bench_.durability);
  bench->add_option("--group", bench_.group, "Group to store in.");
  bench->add_option("--ext", bench_.extension, "Extension of the files.");
  bench
      ->add_option("--attributes", bench_.attributes,
                   "Attributes of each file that is put, with values of 32 "
                   "bytes.")
      ->check(CLI::Range(0, static_cast<int>(kAttributesMax)));
  bench->add_option("--order", bench_.order, "Of files: random, sequential.")
      ->check(CLI::IsMember({"random", "sequential"}))
      ->capture_default_str();
  bench
      ->add_option("--verify", bench_.verify,
                   "content: the checksum of every byte that is read. info: "
                   "what the client library has checked, and what the node "
                   "says.")
      ->check(CLI::IsMember({"content", "info"}))
      ->capture_default_str();
  bench->add_option("--mix", bench_.mix, "Shares of a mixed phase.")
      ->capture_default_str();
  bench->add_option("--seed", bench_.seed, "For sizes, contents and order.")
      ->capture_default_str();
  bench->add_option("--files-in", bench_.files_in,
                    "Begin with the files of this list.");
  bench->add_option("--files-out", bench_.files_out,
                    "Write the list of the files that are left.");
  bench->add_option("--compare", bench_.compare,
                    "Print ratios to this earlier result of --json.");
}

void Commands::AddOthers() {
  CLI::App* const completion =
      Add("completion", "Print a script that completes cairn in a shell.",
          [this](Session* session) { return RunCompletion(session); });
  completion->add_option("SHELL", shell_, "bash, zsh or fish.")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  Add("capabilities", "What the nodes can do, and within which limits.",
      [](Session* session) { return RunCapabilities(session); });
  Add("version", "Print the version.",
      [](Session* session) { return RunVersion(session); });
}

// The flags of `app`, each name as one.
std::vector<CompletionFlag> FlagsOf(const CLI::App& app) {
  std::vector<CompletionFlag> flags;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) continue;
    const bool takes_value = option->get_items_expected_max() > 0;
    std::vector<std::string> values;
    if (option->get_name() == "--level") values = {"cached", "synced"};
    if (option->get_name() == "--role") {
      values = {"read_write", "read_only", "draining", "standby", "own"};
    }
    for (const std::string& name : option->get_lnames()) {
      flags.push_back(
          {"--" + name, option->get_description(), takes_value, values});
    }
    for (const std::string& name : option->get_snames()) {
      flags.push_back(
          {"-" + name, option->get_description(), takes_value, values});
    }
  }
  return flags;
}

ExitCode Commands::RunCompletion(Session* session) {
  std::vector<CompletionCommand> commands;
  for (const auto& [command, runner] : commands_) {
    if (command->get_parent() != app_) {
      // One of a family, which comes as one command with words of its own.
      CLI::App* const family = command->get_parent();
      if (commands.empty() || commands.back().name != family->get_name()) {
        commands.emplace_back();
        commands.back().name = family->get_name();
        commands.back().help = family->get_description();
      }
      commands.back().words.push_back(command->get_name());
      for (CompletionFlag& flag : FlagsOf(*command)) {
        const auto same = [&flag](const CompletionFlag& other) {
          return other.name == flag.name;
        };
        std::vector<CompletionFlag>& flags = commands.back().flags;
        if (std::none_of(flags.begin(), flags.end(), same)) {
          flags.push_back(std::move(flag));
        }
      }
      continue;
    }
    CompletionCommand one;
    one.name = command->get_name();
    one.help = command->get_description();
    one.takes_files = one.name == "put";
    if (one.name == "completion") one.words = {"bash", "zsh", "fish"};
    one.flags = FlagsOf(*command);
    commands.push_back(std::move(one));
  }
  session->Write(CompletionScript(shell_, commands, FlagsOf(*app_)));
  return kExitOk;
}

// A wrong command line. Help that was asked for is none.
ExitCode ReportParseError(const CLI::App& app, const CLI::ParseError& error,
                          const Environment& environment) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = app.exit(error, out, err);
  std::fputs(out.str().c_str(), environment.out);
  std::fputs(err.str().c_str(), environment.err);
  std::fflush(environment.out);
  std::fflush(environment.err);
  return code == 0 ? kExitOk : kExitUsage;
}

}  // namespace

ExitCode RunCairn(const std::vector<std::string>& arguments,
                  const Environment& environment) {
  CLI::App app("Stores, reads and looks after files in a Cairn cluster.",
               "cairn");
  Commands commands(&app);
  try {
    // The parser takes them from the back.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return ReportParseError(app, error, environment);
  }
  Session session(environment, commands.global);
  const absl::Status prepared = session.Prepare();
  if (!prepared.ok()) return session.Fail(prepared);
  ExitCode exit = commands.Run(&session);
  const absl::Status flushed = session.Flush();
  if (!flushed.ok()) exit = Combine(exit, session.Fail(flushed));
  return exit;
}

}  // namespace cli
}  // namespace cairn
