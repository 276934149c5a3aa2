#include "integration_tests/chaos/nemesis.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"
#include "integration_tests/chaos/verifier.h"
#include "integration_tests/mini_cluster/disks.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "integration_tests/mini_cluster/tcp_proxy.h"
#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/placement/cluster_model.h"

namespace cairn {
namespace testing {
namespace {

// A fault lasts until so much was acknowledged in spite of it, or so long.
constexpr int64_t kChangesMax = 400;
constexpr absl::Duration kFaultMin = absl::Milliseconds(300);
constexpr absl::Duration kFaultMax = absl::Milliseconds(3500);

constexpr char kBallast[] = "/ballast";

bool IsOffline(const client::Client& client, const std::string& name) {
  for (const NodeModel& node : client.cluster()->nodes()) {
    if (node.name == name) return node.state == NodeState::kOffline;
  }
  return false;
}

// Writes until there is no room left.
void FillUp(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  CAIRN_CHECK_MSG(fd >= 0, path);
  for (size_t size = 1 << 20; size > 0;) {
    const std::string piece(size, 'b');
    if (write(fd, piece.data(), piece.size()) <= 0) size /= 2;
  }
  close(fd);
}

// Where the bytes are in a file that may be removed at any time.
absl::optional<int64_t> Find(const std::string& path, absl::string_view bytes) {
  std::error_code gone;
  const auto size = std::filesystem::file_size(path, gone);
  if (gone) return absl::nullopt;
  std::string content(size, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(content.data(), static_cast<std::streamsize>(size));
  content.resize(static_cast<size_t>(std::max<int64_t>(in.gcount(), 0)));
  const size_t at = content.find(bytes.data(), 0, bytes.size());
  if (at == std::string::npos) return absl::nullopt;
  return static_cast<int64_t>(at);
}

}  // namespace

Nemesis::Nemesis(NemesisWorld* world, uint64_t seed)
    : world_(world), random_(seed), begun_(absl::Now()) {}

void Nemesis::Say(absl::string_view text) {
  const std::string line = absl::StrCat(
      absl::FormatTime("%H:%M:%E3S", absl::Now(), absl::UTCTimeZone()), " +",
      absl::ToInt64Milliseconds(absl::Now() - begun_), "ms ", text);
  std::ofstream(world_->log_file, std::ios::app) << line << "\n";
  world_->oracle->Remark(line);
}

std::string Nemesis::Name(int member) {
  return world_->cluster->storage(member)->name();
}

int Nemesis::DrawMember() {
  return static_cast<int>(
      Draw(static_cast<uint64_t>(world_->cluster->storages())));
}

void Nemesis::Wait() {
  const absl::Duration longest =
      kFaultMin +
      (kFaultMax - kFaultMin) * (static_cast<double>(Draw(1000)) / 1000.0);
  world_->load->AwaitAcknowledged(kChangesMax, longest);
}

std::vector<Nemesis::Fault> Nemesis::Deck() {
  std::vector<Fault> deck = {
      {"kill one", [this] { return KillOne(); }},
      {"kill several", [this] { return KillSeveral(); }},
      {"kill a tracker", [this] { return KillTracker(); }},
      {"stop", [this] { return Stop(); }},
      {"wipe a path", [this] { return Wipe(); }},
      {"flip a bit", [this] { return FlipABit(); }},
      {"drain", [this] { return Drain(); }},
      {"restart everything", [this] { return RestartEverything(); }},
  };
  for (const char* kind :
       {"latency", "black hole", "one way", "cut", "refuse"}) {
    deck.push_back({kind, [this, kind] { return HurtLink(kind); }});
  }
  if (world_->small_disk.folder.empty()) {
    Say("no full disk: nothing can be mounted here");
  } else {
    deck.push_back({"full disk", [this] { return FillDisk(); }});
  }
  if (world_->add_member != nullptr) {
    deck.push_back({"new member", [this] { return AddMember(); }});
  }
  std::shuffle(deck.begin(), deck.end(), random_);
  return deck;
}

absl::Status Nemesis::Deal(int faults, int64_t everywhere_line) {
  everywhere_line_ = everywhere_line;
  std::vector<Fault> deck = Deck();
  if (static_cast<size_t>(faults) < deck.size()) {
    deck.resize(static_cast<size_t>(faults));
  }
  for (const Fault& fault : deck) {
    CAIRN_ASSIGN_OR_RETURN(Heal heal, fault.strike());
    ++done_[fault.name];
    if (heal != nullptr) open_.push_back(std::move(heal));
    Wait();
    // Some last over the next one.
    if (Draw(3) != 0 || open_.size() > 1) CAIRN_RETURN_IF_ERROR(HealAll());
    world_->load->AwaitAcknowledged(50, absl::Seconds(1));
  }
  CAIRN_RETURN_IF_ERROR(HealAll());
  return RestartReadOnly();
}

// A disk that somebody else fills may run full in the middle of a checkpoint.
// Then the path is read-only until its node is started again:
// docs/runbooks/read_only_path.md.
absl::Status Nemesis::RestartReadOnly() {
  if (world_->small_disk.folder.empty()) return absl::OkStatus();
  Daemon* const storage = world_->cluster->storage(world_->small_disk.member);
  CAIRN_ASSIGN_OR_RETURN(const cairn::storage::v1::GetStateResponse state,
                         StorageStub(storage->address()).State());
  for (const cairn::storage::v1::StorePathStatus& path : state.store_paths()) {
    if (path.state() != cairn::storage::v1::STORE_PATH_STATE_READ_ONLY) {
      continue;
    }
    Say(absl::StrCat("path ", path.index(), " of ", storage->name(),
                     " is read-only since its disk ran full: restart"));
    return storage->KillAndRestart();
  }
  return absl::OkStatus();
}

absl::Status Nemesis::HealAll() {
  while (!open_.empty()) {
    const Heal heal = std::move(open_.back());
    open_.pop_back();
    CAIRN_RETURN_IF_ERROR(heal());
  }
  // Everybody is up now; who is not has died by itself.
  for (Daemon* daemon : Daemons()) {
    const absl::optional<ExitStatus> ended = daemon->process()->ended();
    if (ended.has_value()) {
      return absl::InternalError(absl::StrCat(
          daemon->name(), " ended by itself: ", ended->ToString()));
    }
  }
  return absl::OkStatus();
}

std::vector<Daemon*> Nemesis::Daemons() {
  std::vector<Daemon*> daemons;
  for (int i = 0; i < world_->cluster->trackers(); ++i) {
    daemons.push_back(world_->cluster->tracker(i));
  }
  for (int i = 0; i < world_->cluster->storages(); ++i) {
    daemons.push_back(world_->cluster->storage(i));
  }
  return daemons;
}

absl::StatusOr<Nemesis::Heal> Nemesis::KillOne() {
  const int member = DrawMember();
  Say(absl::StrCat("kill -9 ", Name(member)));
  world_->cluster->storage(member)->Kill();
  return Heal(
      [this, member] { return StartAgain(world_->cluster->storage(member)); });
}

// Unless another fault's end has done so.
absl::Status Nemesis::StartAgain(Daemon* daemon) {
  if (!daemon->process()->ended().has_value()) return absl::OkStatus();
  Say(absl::StrCat("start ", daemon->name()));
  return daemon->Start();
}

absl::StatusOr<Nemesis::Heal> Nemesis::KillSeveral() {
  std::vector<int> killed;
  for (int i = 0; i < world_->cluster->storages(); ++i) {
    if (Draw(4) != 0) killed.push_back(i);
  }
  // All signals first: they die at once, and not one after the other.
  for (const int member : killed) {
    Say(absl::StrCat("kill -9 ", Name(member), " with others"));
    world_->cluster->storage(member)->process()->Signal(SIGKILL);
  }
  for (const int member : killed) world_->cluster->storage(member)->Kill();
  return Heal([this, killed]() -> absl::Status {
    for (const int member : killed) {
      CAIRN_RETURN_IF_ERROR(StartAgain(world_->cluster->storage(member)));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<Nemesis::Heal> Nemesis::KillTracker() {
  const int index = static_cast<int>(
      Draw(static_cast<uint64_t>(world_->cluster->trackers())));
  Daemon* const tracker = world_->cluster->tracker(index);
  const bool wipe = Draw(2) == 0;
  Say(absl::StrCat("kill -9 ", tracker->name(), wipe ? " and wipe it" : ""));
  tracker->Kill();
  if (wipe) std::filesystem::remove_all(tracker->folder() + "/data");
  return Heal([this, tracker] { return StartAgain(tracker); });
}

absl::StatusOr<Nemesis::Heal> Nemesis::Stop() {
  const int member = DrawMember();
  Daemon* const storage = world_->cluster->storage(member);
  if (storage->process()->ended().has_value()) return Heal(nullptr);
  Say(absl::StrCat("SIGSTOP ", Name(member)));
  storage->process()->Signal(SIGSTOP);
  // Longer than the trackers bear.
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  while (!IsOffline(*world_->load->client(), Name(member))) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(Name(member), " is stopped and not OFFLINE"));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  Say(absl::StrCat(Name(member), " is OFFLINE"));
  return Heal([this, member, storage] {
    Say(absl::StrCat("SIGCONT ", Name(member)));
    storage->process()->Signal(SIGCONT);
    return absl::OkStatus();
  });
}

absl::StatusOr<Nemesis::Heal> Nemesis::HurtLink(absl::string_view kind) {
  LinkFaults faults;
  if (kind == "latency") {
    faults.latency = absl::Milliseconds(20 + Draw(200));
  } else if (kind == "black hole") {
    faults.hold_to_source = faults.hold_to_target = true;
  } else if (kind == "one way") {
    (Draw(2) == 0 ? faults.hold_to_source : faults.hold_to_target) = true;
  } else if (kind == "cut") {
    // From the middle of a handshake to the middle of a large file.
    faults.cut_after_bytes = static_cast<int64_t>(Draw(100 << Draw(15)));
  } else {
    faults.refuse = true;
  }
  const int member = DrawMember();
  TcpProxy* const link = world_->cluster->link(member);
  // For everybody, clients too, or for one other member.
  const int other = DrawMember();
  const bool all = other == member || Draw(3) == 0;
  Say(absl::StrCat(kind, " on the way to ", Name(member), " from ",
                   all ? "everybody" : Name(other),
                   faults.cut_after_bytes.has_value()
                       ? absl::StrCat(" after ", *faults.cut_after_bytes)
                       : ""));
  if (all) {
    link->SetFaults(faults);
  } else {
    link->SetFaults(Name(other), faults);
  }
  return Heal([this, link, member] {
    Say(absl::StrCat("the way to ", Name(member), " is good again"));
    link->Heal();
    return absl::OkStatus();
  });
}

absl::StatusOr<Nemesis::Heal> Nemesis::Wipe() {
  // What else is open may have to do with this member.
  CAIRN_RETURN_IF_ERROR(HealAll());
  const int member = DrawMember();
  Daemon* const storage = world_->cluster->storage(member);
  const auto& paths = world_->paths[static_cast<size_t>(member)];
  WipedPath wiped;
  wiped.from_line = everywhere_line_;
  wiped.store_path = static_cast<uint32_t>(Draw(paths.size()));
  CAIRN_ASSIGN_OR_RETURN(wiped.node_number, NodeNumberOf(storage->address()));
  Say(absl::StrCat("wipe path ", wiped.store_path, " of ", Name(member)));
  world_->lives->Forsake(member, wiped.store_path);
  storage->Kill();
  // The folder itself may be a mount.
  for (const auto& entry :
       std::filesystem::directory_iterator(paths[wiped.store_path])) {
    std::filesystem::remove_all(entry.path());
  }
  std::erase_if(destruction_.damaged, [&](const DamagedCopy& copy) {
    return copy.member == member && copy.store_path == wiped.store_path;
  });
  Wait();
  CAIRN_RETURN_IF_ERROR(StartAgain(storage));
  wiped.to_line = world_->oracle->lines();
  destruction_.wiped.push_back(wiped);
  return Heal(nullptr);
}

absl::StatusOr<Nemesis::Heal> Nemesis::FillDisk() {
  const SmallDisk& disk = world_->small_disk;
  Say(absl::StrCat("fill a disk of ", Name(disk.member)));
  FillUp(disk.folder + kBallast);
  return Heal([this, disk] {
    Say(absl::StrCat("room on the disk of ", Name(disk.member)));
    std::filesystem::remove(disk.folder + kBallast);
    return absl::OkStatus();
  });
}

absl::StatusOr<Nemesis::Heal> Nemesis::FlipABit() {
  std::vector<ExpectedFile> candidates;
  for (ExpectedFile& file : world_->oracle->Files()) {
    // All members had it, and nobody else damaged another copy.
    if (file.stored_line == 0 || file.stored_line > everywhere_line_ ||
        file.delete_line != 0 || file.size_bytes < 1000 ||
        std::any_of(destruction_.damaged.begin(), destruction_.damaged.end(),
                    [&file](const DamagedCopy& copy) {
                      return copy.file_id == file.file_id;
                    })) {
      continue;
    }
    candidates.push_back(std::move(file));
  }
  if (candidates.empty()) return Heal(nullptr);
  const ExpectedFile& file = candidates[Draw(candidates.size())];
  const int member = DrawMember();
  const std::string content = file.Content();
  const size_t at = Draw(content.size() - 64);
  const auto& paths = world_->paths[static_cast<size_t>(member)];
  for (size_t path = 0; path < paths.size(); ++path) {
    for (const std::string& segment : FilesBelow(paths[path], ".seg")) {
      const absl::optional<int64_t> position =
          Find(segment, absl::string_view(content).substr(at, 32));
      if (!position.has_value()) continue;
      Say(absl::StrCat("flip a bit of ", file.file_id, " at ", Name(member)));
      world_->load->ExpectDamaged(file.file_id);
      destruction_.damaged.push_back(
          {file.file_id, member, static_cast<uint32_t>(path)});
      if (!FlipBit(segment, *position, static_cast<int>(Draw(8)))) {
        Say("which is in another segment now");
      }
      return Heal(nullptr);
    }
  }
  return Heal(nullptr);
}

absl::StatusOr<Nemesis::Heal> Nemesis::AddMember() {
  Say("a new member");
  CAIRN_RETURN_IF_ERROR(world_->add_member());
  world_->add_member = nullptr;
  return Heal(nullptr);
}

absl::Status Nemesis::Cairn(std::vector<std::string> arguments) {
  // At a tracker that is there.
  Daemon* tracker = nullptr;
  for (int i = 0; i < world_->cluster->trackers(); ++i) {
    Daemon* const one = world_->cluster->tracker(i);
    if (!one->process()->ended().has_value()) tracker = one;
  }
  if (tracker == nullptr) return absl::UnavailableError("no tracker runs");
  arguments.insert(arguments.end(),
                   {"--tracker", tracker->address(), "--yes", "--secret-file",
                    world_->cluster->secret_file(), "--timeout", "60s"});
  const std::string log =
      absl::StrCat(world_->cluster->folder(), "/cairn", ++commands_);
  CAIRN_ASSIGN_OR_RETURN(
      const std::unique_ptr<Process> process,
      Process::Start({Runfile("clients/cli/cairn"), arguments, log}));
  CAIRN_ASSIGN_OR_RETURN(const ExitStatus ended, process->Wait());
  if (ended.code != 0) {
    return absl::InternalError(absl::StrCat(
        "cairn ", absl::StrJoin(arguments, " "), ": ", process->Log()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Nemesis::Heal> Nemesis::Drain() {
  const int member = DrawMember();
  Say(absl::StrCat("drain ", Name(member)));
  CAIRN_RETURN_IF_ERROR(
      Cairn({"node", "drain", Name(member), "--no-wait", "--reason", "chaos"}));
  return Heal([this, member] {
    Say(absl::StrCat("take ", Name(member), " back"));
    return Cairn({"node", "set", Name(member), "--role", "own"});
  });
}

absl::StatusOr<Nemesis::Heal> Nemesis::RestartEverything() {
  CAIRN_RETURN_IF_ERROR(HealAll());
  Say("rolling restart");
  for (Daemon* daemon : Daemons()) {
    CAIRN_ASSIGN_OR_RETURN(const ExitStatus ended, daemon->Terminate());
    if (ended.code != 0) {
      return absl::InternalError(
          absl::StrCat(daemon->name(), " ends with ", ended.ToString()));
    }
    CAIRN_RETURN_IF_ERROR(daemon->Start());
    Say(absl::StrCat(daemon->name(), " was restarted"));
    world_->load->AwaitAcknowledged(20, absl::Seconds(1));
  }
  return Heal(nullptr);
}

}  // namespace testing
}  // namespace cairn
