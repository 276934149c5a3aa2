// main() of a fuzz test in a normal build: feeds the corpus, then mutations of
// it, to LLVMFuzzerTestOneInput. A crash is the failure; the last input is
// written to $TEST_UNDECLARED_OUTPUTS_DIR (or /tmp) first, so it is never lost.

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::string Mutate(const std::vector<std::string>& corpus,
                   std::mt19937_64* rng) {
  auto pick = [rng](size_t n) { return n == 0 ? 0 : (*rng)() % n; };
  std::string input = corpus[pick(corpus.size())];
  const size_t edits = 1 + pick(4);
  for (size_t i = 0; i < edits; ++i) {
    switch (pick(5)) {
      case 0:
        if (!input.empty()) input[pick(input.size())] ^= 1 << pick(8);
        break;
      case 1:
        input.resize(pick(input.size() + 1));
        break;
      case 2:
        input.insert(pick(input.size() + 1), 1, static_cast<char>((*rng)()));
        break;
      case 3:
        if (!input.empty()) input[pick(input.size())] = static_cast<char>(0xff);
        break;
      case 4: {
        const std::string& other = corpus[pick(corpus.size())];
        input.insert(pick(input.size() + 1),
                     other.substr(pick(other.size() + 1), pick(64)));
        break;
      }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  std::string corpus_dir;
  uint64_t seed = 1;
  int runs = 20000;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "--corpus=")) {
      corpus_dir = std::string(argument);
    } else if (absl::ConsumePrefix(&argument, "--seed=")) {
      if (!absl::SimpleAtoi(argument, &seed)) return 2;
    } else if (absl::ConsumePrefix(&argument, "--runs=")) {
      if (!absl::SimpleAtoi(argument, &runs)) return 2;
    }
  }

  std::vector<std::string> corpus = {""};
  if (std::filesystem::is_directory(corpus_dir)) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(corpus_dir)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      corpus.emplace_back(std::istreambuf_iterator<char>(in),
                          std::istreambuf_iterator<char>());
    }
  }
  const char* outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  const std::string last =
      std::string(outputs != nullptr ? outputs : "/tmp") + "/last_fuzz_input";
  std::printf(
      "corpus of %zu inputs, %d mutations, rerun with --seed=%llu, last input "
      "in %s\n",
      corpus.size(), runs, static_cast<unsigned long long>(seed), last.c_str());
  std::FILE* keep = std::fopen(last.c_str(), "wb");
  auto run = [keep](const std::string& input) {
    if (keep != nullptr) {
      std::rewind(keep);
      std::fwrite(input.data(), 1, input.size(), keep);
      std::fflush(keep);
      if (ftruncate(fileno(keep), static_cast<off_t>(input.size())) != 0)
        return;
    }
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()),
                           input.size());
  };
  for (const std::string& input : corpus) run(input);
  std::mt19937_64 rng(seed);
  for (int i = 0; i < runs; ++i) run(Mutate(corpus, &rng));
  return 0;
}
