#include "tests/conformance/archives.h"

#include <zlib.h>

#include <array>
#include <cstdio>
#include <cstring>

namespace envicutor::testing_support {
namespace {

void Little(std::string* out, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) *out += static_cast<char>(value >> (8 * i));
}

void Octal(std::array<char, 512>* header, size_t offset, size_t width, uint64_t value) {
  std::array<char, 32> text{};
  (void)std::snprintf(text.data(), text.size(), "%0*llo", static_cast<int>(width - 1),
                      static_cast<unsigned long long>(value));
  std::memcpy(header->data() + offset, text.data(), width);
}

uint32_t Crc(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

}  // namespace

TarBuilder& TarBuilder::Add(std::string_view name, std::string_view content, char type,
                            std::string_view link, unsigned mode) {
  std::array<char, 512> header{};
  std::memcpy(header.data(), name.data(), std::min<size_t>(name.size(), 100));
  Octal(&header, 100, 8, mode);
  Octal(&header, 108, 8, 0);
  Octal(&header, 116, 8, 0);
  Octal(&header, 124, 12, content.size());
  Octal(&header, 136, 12, 1'000'000'000);
  std::memset(header.data() + 148, ' ', 8);
  header[156] = type;
  std::memcpy(header.data() + 157, link.data(), std::min<size_t>(link.size(), 100));
  std::memcpy(header.data() + 257, "ustar\00000", 8);
  unsigned sum = 0;
  for (const char byte : header) sum += static_cast<unsigned char>(byte);
  Octal(&header, 148, 7, sum);
  bytes_.append(header.data(), header.size());
  bytes_.append(content);
  bytes_.append((512 - content.size() % 512) % 512, '\0');
  return *this;
}

std::string TarBuilder::Tar() const { return bytes_ + std::string(1024, '\0'); }
std::string TarBuilder::TarGz() const { return Gzip(Tar()); }

std::string Gzip(std::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
    return "";
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  (void)deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

ZipBuilder& ZipBuilder::Add(std::string_view name, std::string_view content, unsigned mode) {
  const auto offset = static_cast<uint32_t>(bytes_.size());
  const auto size = static_cast<uint32_t>(content.size());
  const auto length = static_cast<uint32_t>(name.size());
  constexpr uint32_t kUtf8 = 0x800;
  constexpr uint32_t kDosDate = 0x5821;
  // What the local header and the directory's entry share.
  std::string common;
  Little(&common, 20, 2);
  Little(&common, kUtf8, 2);
  Little(&common, 0, 2);
  Little(&common, 0, 2);
  Little(&common, kDosDate, 2);
  Little(&common, Crc(content), 4);
  Little(&common, size, 4);
  Little(&common, size, 4);
  Little(&common, length, 2);
  Little(&common, 0, 2);
  Little(&bytes_, 0x04034b50, 4);
  bytes_ += common;
  bytes_ += name;
  bytes_ += content;
  Little(&directory_, 0x02014b50, 4);
  Little(&directory_, 0x0314, 2);  // made on Unix
  directory_ += common;
  Little(&directory_, 0, 2);
  Little(&directory_, 0, 2);
  Little(&directory_, 0, 2);
  Little(&directory_, mode << 16U, 4);
  Little(&directory_, offset, 4);
  directory_ += name;
  ++count_;
  return *this;
}

std::string ZipBuilder::Zip() const {
  std::string out = bytes_ + directory_;
  Little(&out, 0x06054b50, 4);
  Little(&out, 0, 4);
  Little(&out, count_, 2);
  Little(&out, count_, 2);
  Little(&out, static_cast<uint32_t>(directory_.size()), 4);
  Little(&out, static_cast<uint32_t>(bytes_.size()), 4);
  Little(&out, 0, 2);
  return out;
}

}  // namespace envicutor::testing_support
