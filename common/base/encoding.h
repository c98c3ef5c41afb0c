// Base64 (RFC 4648, standard alphabet with padding), UTF-8 checks, hex, SHA-256. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"

namespace envicutor {

[[nodiscard]] std::string Base64Encode(std::string_view bytes);
// White space (line breaks of `base64` output) is skipped. InvalidArgument names the first bad
// offset.
[[nodiscard]] Result<std::string> Base64Decode(std::string_view text);

// True for well-formed UTF-8 (no overlongs, no surrogates, at most U+10FFFF).
[[nodiscard]] bool IsUtf8(std::string_view bytes);
// The longest prefix of at most `max_bytes` that does not end inside a UTF-8 character. For bytes
// that are not UTF-8 it cuts at max_bytes.
[[nodiscard]] std::string_view Utf8Prefix(std::string_view bytes, size_t max_bytes);
// Ill-formed sequences replaced by U+FFFD.
[[nodiscard]] std::string ToUtf8Lossy(std::string_view bytes);

[[nodiscard]] std::string HexEncode(std::string_view bytes);
// 64 lower-case hex digits.
[[nodiscard]] std::string Sha256Hex(std::string_view bytes);
// `bytes` random bytes from the kernel, as hex.
[[nodiscard]] std::string RandomHex(size_t bytes);
// A random (version 4) UUID in the usual form.
[[nodiscard]] std::string RandomUuid();

}  // namespace envicutor
