#include "base/fault.h"

#include <stdexcept>

namespace tollgate {

void throw_exception_from_error(const Fault& fault, const boost::source_location& where) {
  throw std::logic_error("unexpected fault at " + where.to_string() + ": " + fault.code + ": " + fault.message);
}

}  // namespace tollgate
