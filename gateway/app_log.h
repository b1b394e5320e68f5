// The process's own log: one line per event on standard error, JSON or text. The access log is access_log.h.
#pragma once

#include "gateway/config.h"

namespace tollgate::gateway {

// Sets the default logger of spdlog. Any thread; again after a reload.
void set_up_log(const LogConfig& config);

}  // namespace tollgate::gateway
