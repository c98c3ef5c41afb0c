// Archives: whatever the bytes are, nothing is written outside of the current folder, and the
// answer is one of the four.
#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <clocale>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "common/base/unique_fd.h"
#include "executor-agent/extract/entry_path.h"
#include "executor-agent/extract/extractor.h"
#include "tests/fuzz/target.h"

namespace extract = envicutor::extract;

namespace {

// Bounds as a box has them, and names taken as UTF-8.
bool SetUp() {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = 4U << 20U;
  ::setrlimit(RLIMIT_FSIZE, &limit);
  return std::setlocale(LC_ALL, "C.UTF-8") != nullptr;
}

int Remove(const char* path, const struct stat*, int, FTW*) { return ::remove(path); }

}  // namespace

FUZZ_TARGET(fuzz_extract) {
  static const bool ready = SetUp();
  CHECK(ready, "no C.UTF-8");
  std::string path;
  const std::string name(data.substr(0, data.find('\0')));  // as libarchive gives it
  if (extract::CheckEntryPath(name, &path).empty()) {
    CHECK(!path.starts_with("/"), "an absolute path");
    CHECK(("/" + path + "/").find("/../") == std::string::npos, "a path upwards");
    (void)extract::CheckLinkTarget(path, name);
  }

  std::string outside = "/dev/shm/envicutor-fuzz-XXXXXX";
  CHECK(::mkdtemp(outside.data()) != nullptr, "mkdtemp");
  const std::string box = outside + "/box";
  CHECK(::mkdir(box.c_str(), 0755) == 0, "mkdir");
  const envicutor::UniqueFd home(::open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(::chdir(box.c_str()) == 0, "chdir");
  const envicutor::UniqueFd archive(::memfd_create("archive", MFD_CLOEXEC));
  CHECK(::write(archive.get(), data.data(), data.size()) == static_cast<ssize_t>(data.size()),
        "memfd");
  ::lseek(archive.get(), 0, SEEK_SET);
  std::string message;
  const extract::ExitCode code = extract::ExtractHere(archive.get(), &message);
  CHECK(code >= extract::kDone && code <= extract::kTooBig, "an exit code that is none");
  CHECK(message.empty() == (code == extract::kDone), "a failure without a word, or a word without");
  CHECK(::fchdir(home.get()) == 0, "fchdir");
  size_t entries = 0;
  for (const auto& each : std::filesystem::directory_iterator(outside)) {
    CHECK(each.path() == box, each.path().string());
    ++entries;
  }
  CHECK(entries == 1, "the box is gone");
  ::nftw(outside.c_str(), Remove, 16, FTW_DEPTH | FTW_PHYS);
}
