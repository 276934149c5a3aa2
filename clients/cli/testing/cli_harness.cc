#include "clients/cli/testing/cli_harness.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "clients/cli/cli.h"
#include "clients/cli/environment.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace cli {
namespace {

std::string ReadAll(std::FILE* file) {
  std::rewind(file);
  std::string content;
  char buffer[4096];
  for (size_t got; (got = std::fread(buffer, 1, sizeof(buffer), file)) > 0;) {
    content.append(buffer, got);
  }
  return content;
}

}  // namespace

std::vector<std::string> CliResult::OutLines() const {
  return absl::StrSplit(out, '\n', absl::SkipEmpty());
}

CliHarness::CliHarness() : queries_(MakeGrpcNodeQueries()) {
  folder_ =
      absl::StrCat(::testing::TempDir(), "/cli_", Uuid::Random().ToString());
  std::filesystem::create_directories(folder_);
}

CliResult CliHarness::Run(const std::vector<std::string>& arguments,
                          const std::string& in) {
  Environment environment;
  environment.in = std::tmpfile();
  environment.out = std::tmpfile();
  environment.err = std::tmpfile();
  CAIRN_CHECK(environment.in != nullptr && environment.out != nullptr &&
              environment.err != nullptr);
  std::fwrite(in.data(), 1, in.size(), environment.in);
  std::rewind(environment.in);
  environment.in_is_terminal = in_is_terminal_;
  environment.variable = [this](const char* name) {
    const auto found = variables_.find(name);
    return found == variables_.end() ? "" : found->second;
  };
  environment.connect = [](client::ClientOptions options) {
    // What is to fail in a test is to fail soon.
    options.attempts_max = 3;
    options.backoff = absl::Milliseconds(1);
    return client::Client::Connect(std::move(options));
  };
  environment.queries = queries_.get();
  environment.interrupt = &interrupt_;
  environment.clock = Clock::Real();

  CliResult result;
  result.exit = RunCairn(arguments, environment);
  result.out = ReadAll(environment.out);
  result.err = ReadAll(environment.err);
  std::fclose(environment.in);
  std::fclose(environment.out);
  std::fclose(environment.err);
  return result;
}

std::string CliHarness::Path(const std::string& name) const {
  return absl::StrCat(folder_, "/", name);
}

void CliHarness::WriteFile(const std::string& name,
                           const std::string& content) const {
  const std::filesystem::path path = Path(name);
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

std::string CliHarness::ReadFile(const std::string& name) const {
  std::ifstream file(Path(name), std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::vector<std::string> CliHarness::FilesBelow(const std::string& name) const {
  std::vector<std::string> files;
  const std::filesystem::path root = Path(name);
  if (!std::filesystem::exists(root)) return files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) {
      files.push_back(entry.path().lexically_relative(root).string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace cli
}  // namespace cairn
