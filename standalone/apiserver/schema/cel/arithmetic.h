// CEL's + - * / %, with overflow as an error.
#pragma once

#include <cstdint>
#include <string_view>

#include "standalone/apiserver/schema/cel/value.h"

namespace envicutor::standalone::schema::cel {

[[nodiscard]] Value Arithmetic(std::string_view op, const Value& a, const Value& b,
                               int64_t* budget);
[[nodiscard]] Value Negate(const Value& value);

}  // namespace envicutor::standalone::schema::cel
