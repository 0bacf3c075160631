// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/listing.hpp>

#include <zip.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

/// A zip archive opened for reading by libzip. One object belongs to one thread at a time.
///
/// Nothing is extracted: names are only names. Throws IoError when the file cannot be opened and
/// FormatError when it is no sound archive or an entry cannot be read.
class ZipArchive {
public:
  struct Entry {
    std::string name;          ///< as stored, '/' between folders and at the end of folders
    std::uint64_t index = 0;   ///< in the archive
    std::uint64_t size = 0;    ///< bytes when unpacked, as claimed
    std::uint64_t packed = 0;  ///< bytes in the archive
  };

  explicit ZipArchive(std::filesystem::path path) : path_(std::move(path)) {
    InputFile const file(path_);  // says why a path cannot be opened better than libzip
    int code = 0;
    archive_.reset(zip_open(path_.c_str(), ZIP_RDONLY, &code));
    if (archive_ == nullptr) {
      zip_error_t error;
      zip_error_init_with_code(&error, code);
      std::string const text = zip_error_strerror(&error);
      zip_error_fini(&error);
      fail({}, "libzip says: " + text, "copy or download the archive again");
    }
  }

  std::filesystem::path const& path() const noexcept { return path_; }

  /// Every entry, in the order of the archive.
  std::vector<Entry> entries() const {
    std::vector<Entry> entries;
    auto const count = static_cast<std::uint64_t>(zip_get_num_entries(archive_.get(), 0));
    for (std::uint64_t i = 0; i < count; ++i) {
      zip_stat_t s;
      if (zip_stat_index(archive_.get(), i, ZIP_FL_ENC_RAW, &s) != 0 ||
          (s.valid & (ZIP_STAT_NAME | ZIP_STAT_SIZE)) != (ZIP_STAT_NAME | ZIP_STAT_SIZE)) {
        fail("entry " + std::to_string(i), zip_strerror(archive_.get()), {});
      }
      entries.push_back({s.name, i, s.size, (s.valid & ZIP_STAT_COMP_SIZE) != 0 ? s.comp_size : 0});
    }
    return entries;
  }

  /// The bytes of one entry, its checksum verified. `limit`: most bytes that are accepted.
  std::vector<std::byte> read(Entry const& entry, std::uint64_t limit) {
    std::string const place = "entry " + in_quotes(entry.name);
    if (entry.size > limit) {
      fail(place, "claims " + std::to_string(entry.size) + " bytes",
           "leave out files above " + std::to_string(limit) + " bytes");
    }
    // Deflate makes at most 1032 bytes of one; the densest of the others is not allowed more.
    if (entry.size / 1040 > entry.packed) {
      fail(place,
           "claims " + std::to_string(entry.size) + " bytes in " + std::to_string(entry.packed),
           "make the archive again");
    }
    std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> const file(
        zip_fopen_index(archive_.get(), entry.index, 0), zip_fclose);
    if (file == nullptr) {
      fail(place, "libzip says: " + std::string(zip_strerror(archive_.get())),
           "make the archive again, without encryption");
    }
    std::vector<std::byte> bytes(static_cast<std::size_t>(entry.size));
    for (std::size_t done = 0; done < bytes.size();) {
      zip_int64_t const got = zip_fread(file.get(), bytes.data() + done, bytes.size() - done);
      if (got <= 0) {
        fail(place,
             got == 0 ? "ends early" : "libzip says: " + std::string(zip_file_strerror(file.get())),
             "make the archive again");
      }
      done += static_cast<std::size_t>(got);
    }
    std::byte beyond{};  // reading to the end verifies the checksum
    if (zip_fread(file.get(), &beyond, 1) != 0) {
      fail(place, "libzip says: " + std::string(zip_file_strerror(file.get())),
           "make the archive again");
    }
    return bytes;
  }

private:
  [[noreturn]] void fail(std::string place, std::string found, std::string advice) const {
    throw FormatError({.code = "broken-archive",
                       .file = path_.string(),
                       .place = std::move(place),
                       .found = std::move(found),
                       .expected = "a sound zip archive",
                       .advice = std::move(advice)});
  }

  std::filesystem::path path_;
  struct Discard {
    void operator()(zip_t* archive) const { zip_discard(archive); }
  };
  std::unique_ptr<zip_t, Discard> archive_;
};

}  // namespace dashi::io
