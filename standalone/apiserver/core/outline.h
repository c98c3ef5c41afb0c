// What the text of a stored object tells without being parsed: where the few members are that
// reads, deletes and selectors need. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace envicutor::standalone {

// A part of a text; `size` 0: there is none.
struct Span {
  uint32_t at = 0;
  uint32_t size = 0;
  [[nodiscard]] std::string_view Of(std::string_view text) const { return text.substr(at, size); }
};

struct Outline {
  Span api_version;  // strings: between their quotes
  Span name;
  Span ns;
  Span uid;
  Span version;              // metadata.resourceVersion, which may be empty: see has_version
  Span labels;               // metadata.labels, a JSON object
  bool has_version = false;  // there is a string
  bool terminating = false;  // metadata.deletionTimestamp is a string
  bool finalizers = false;   // metadata.finalizers has an entry
  bool owners = false;       // metadata.ownerReferences has an entry
};

// `text` is the JSON of an object, less than 4 GiB. Of what is no JSON it finds nothing.
[[nodiscard]] Outline OutlineOf(std::string_view text);

}  // namespace envicutor::standalone
