// A fault of the world as a value: a stable code for programs, a sentence for people, and the field it concerns.
// It is not for broken invariants of our own, which are CHECKs.
#pragma once

#include <boost/system/result.hpp>
#include <string>
#include <utility>

namespace tollgate {

// What kind of answer a fault deserves. The admin API maps each kind to one HTTP status.
enum class FaultKind {
  invalid,           // the request itself is wrong: 400
  not_found,         // 404
  conflict,          // the state does not allow it: 409
  payment_required,  // the balance is short: 402
  gone,              // no longer sold: 410
  unprocessable,     // an idempotency key was used with another body: 422
  unavailable,       // the store or the disk refused: 503
};

struct Fault {
  FaultKind kind = FaultKind::invalid;
  std::string code;     // snake_case, stable: programs branch on it
  std::string message;  // one sentence for people
  std::string field;    // the field of the request or file it concerns; empty if none
};

template <class T>
using Result = boost::system::result<T, Fault>;

inline Fault invalid(std::string field, std::string message) {
  return {FaultKind::invalid, "invalid_field", std::move(message), std::move(field)};
}

// Found by boost::system::result when value() is called on a fault; calling it so is our own bug.
[[noreturn]] void throw_exception_from_error(const Fault& fault, const boost::source_location& where);

}  // namespace tollgate
