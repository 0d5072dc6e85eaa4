// Errors of the core. The bindings map each to the class of the same name in annx.errors.
#pragma once

#include <stdexcept>

namespace annx {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct NonFiniteError : Error {
  using Error::Error;
};
struct ZeroVectorError : Error {
  using Error::Error;
};
struct LabelError : Error {
  using Error::Error;
};
struct CapacityError : Error {
  using Error::Error;
};
struct FormatError : Error {
  using Error::Error;
};
struct ReadOnlyError : Error {
  using Error::Error;
};
struct BackendError : Error {
  using Error::Error;
};
struct ParameterError : Error {
  using Error::Error;
};

}  // namespace annx
