// One run of the simulation: some members under load and faults, healed and
// checked again and again, all of it drawn from one seed.

#ifndef CAIRN_INTEGRATION_TESTS_SIMULATION_SIMULATION_H_
#define CAIRN_INTEGRATION_TESTS_SIMULATION_SIMULATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "integration_tests/simulation/model_path.h"

namespace cairn {
namespace simulation {

struct SimulationOptions {
  uint64_t seed = 1;
  bool print = false;  // Every event, to stdout.
  Mutations mutations;
};

struct SimulationResult {
  std::vector<std::string> failures;
  uint64_t trace_hash = 0;  // The same for the same seed.
  uint64_t events = 0;
  uint64_t promises = 0;  // Acknowledgements that were held to account.
};

SimulationResult RunSimulation(const SimulationOptions& options);

}  // namespace simulation
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_SIMULATION_SIMULATION_H_
