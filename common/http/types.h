// What an HTTP request and response are, for our client and our server alike.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace envicutor::http {

// Header fields in order. Names compare without case.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> fields) : fields_(fields) {}
  // Adds a field, beside others of that name.
  void Add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  // Replaces every field of that name.
  void Set(std::string_view name, std::string value);
  // The first value of that name, or "".
  [[nodiscard]] std::string Get(std::string_view name) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& fields() const {
    return fields_;
  }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

struct Response {
  int status = 0;
  Headers headers;
  std::string body;
};

// Compares without case, ASCII only.
[[nodiscard]] bool EqualsIgnoreCase(std::string_view a, std::string_view b);
// "Not Found" for 404; "Status" for codes that have no phrase here.
[[nodiscard]] std::string_view ReasonPhrase(int status);

// "a b/c" -> "a%20b%2Fc": everything but unreserved characters (RFC 3986) is escaped.
[[nodiscard]] std::string PercentEncode(std::string_view text);
// Ill-formed escapes stay as they are.
[[nodiscard]] std::string PercentDecode(std::string_view text);

}  // namespace envicutor::http
