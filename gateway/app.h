// `tollgate serve`: the wiring of all parts into one process, from opening the store to the drained exit.
// Each part's behaviour is in its own file; here is only who knows whom, and in which order they start and stop.
#pragma once

#include "gateway/config.h"

namespace tollgate::gateway {

// Serves until SIGTERM or SIGINT has been answered by a drain; SIGHUP reads `source` again. Returns the exit code:
// 0 after a drain, 1 when something could not be started (said on the log).
int run_serve(const Config& config, const ConfigSource& source);

}  // namespace tollgate::gateway
