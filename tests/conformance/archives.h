// Archives for tests, honest and hostile, made byte by byte: no library would write the hostile
// ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace envicutor::testing_support {

class TarBuilder {
 public:
  // `type`: '0' file, '1' hard link, '2' symbolic link, '3' character device, '5' folder, '6' fifo.
  TarBuilder& Add(std::string_view name, std::string_view content, char type = '0',
                  std::string_view link = "", unsigned mode = 0644);
  [[nodiscard]] std::string Tar() const;  // with the two blocks at the end
  [[nodiscard]] std::string TarGz() const;

 private:
  std::string bytes_;
};

class ZipBuilder {
 public:
  // Stored, not compressed. `mode` has the file type, as Unix zips do: 0100644, 0120777 for a link.
  ZipBuilder& Add(std::string_view name, std::string_view content, unsigned mode = 0100644);
  [[nodiscard]] std::string Zip() const;

 private:
  std::string bytes_;
  std::string directory_;
  unsigned count_ = 0;
};

[[nodiscard]] std::string Gzip(std::string_view bytes);

}  // namespace envicutor::testing_support
