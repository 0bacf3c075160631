// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/data/load.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/sha256.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "data_fixture.hpp"
#include "shared_data.hpp"

using namespace dashi;
using namespace dashi::data;
using namespace dashi::test;

namespace {

/// Two classes: three images and one.
void write_two_classes(DataFolder const& folder) {
  folder.write("dog/b.png", png_of(4, 4, 1, 1));
  folder.write("dog/a.png", png_of(4, 4, 1, 2));
  folder.write("dog/deep/er/c.PNG", png_of(4, 4, 1, 3));
  folder.write("cat/z.png", png_of(4, 4, 1, 4));
  folder.write("cat/notes.txt", "not an image");
  folder.write("cat/.hidden.png", "not read");
}

LoadOptions boxed(Index size) {
  LoadOptions options;
  options.size = size;
  options.resize = Resize::box;
  return options;
}

}  // namespace

TEST_CASE("folders are classes, in the order of their names") {
  DataFolder const folder;
  write_two_classes(folder);
  ImageSet const set = load(folder.path());
  CHECK(set.size() == 4);
  CHECK(set.shape() == ImageShape{1, 4, 4});
  CHECK(set.classes() == 2);
  CHECK(set.class_names() == std::vector<std::string>{"cat", "dog"});
  CHECK(set.name(0) == "cat/z.png");
  CHECK(set.name(3) == "dog/deep/er/c.PNG");
  CHECK(set.label(0) == 0);
  CHECK(set.label(3) == 1);
  CHECK(byte_image(set, 1) == pattern(4, 4, 1, 2).pixels);
  CHECK(set.broken().empty());
  CHECK(set.memory() == 64);
  CHECK(failure_of([&] { set.label(4); })->status == 70);
  std::vector<float> small(3);
  CHECK(failure_of([&] { set.read(0, small); })->status == 70);
}

TEST_CASE("8-bit values become -1 to 1, inverted ones 1 to -1") {
  DataFolder const folder;
  folder.write("a/x.png", io::encode_png({3, 1, 1, {0, 102, 255}}));
  LoadOptions options;
  CHECK(image(load(folder.path()), 0) == std::vector<float>{-1.0F, -0.2F, 1.0F});
  options.invert = true;
  CHECK(image(load(folder.path(), options), 0) == std::vector<float>{1.0F, 0.2F, -1.0F});
}

TEST_CASE("the depth of classes, their choice and the offset of labels") {
  DataFolder const folder;
  folder.write("pets/dog/a.png", png_of(4, 4, 1, 1));
  folder.write("pets/cat/a.png", png_of(4, 4, 1, 2));
  folder.write("wild/wolf/a.png", png_of(4, 4, 1, 3));
  LoadOptions options;
  CHECK(load(folder.path(), options).class_names() == std::vector<std::string>{"pets", "wild"});
  options.class_depth = 2;
  CHECK(load(folder.path(), options).class_names() ==
        std::vector<std::string>{"pets/cat", "pets/dog", "wild/wolf"});
  options.classes = {"wild/wolf", "pets/cat"};
  options.label_offset = 3;
  ImageSet const chosen = load(folder.path(), options);
  CHECK(chosen.class_names() == std::vector<std::string>{"", "", "", "wild/wolf", "pets/cat"});
  CHECK(chosen.classes() == 5);
  CHECK(chosen.size() == 2);
  CHECK(chosen.label(0) == 3);
  CHECK(byte_image(chosen, 0) == pattern(4, 4, 1, 3).pixels);
  options = {};
  options.class_depth = 0;
  CHECK(load(folder.path(), options).class_names() == std::vector<std::string>{"all"});

  options = {};
  options.classes = {"pest"};
  auto const unknown = failure_of([&] { load(folder.path(), options); });
  CHECK(unknown->status == 2);
  CHECK(contains(unknown->message, "class 'pest' is not there, expected one of pets, wild"));
  options.classes = {"pets", "pets"};
  CHECK(failure_of([&] { load(folder.path(), options); })->code == "class-twice");
  options = {};
  options.class_depth = 3;
  auto const shallow = failure_of([&] { load(folder.path(), options); });
  CHECK(shallow->code == "no-class-folder");
  CHECK(contains(shallow->message, "a.png"));
}

TEST_CASE("JPEG files are read beside PNG files, whatever their name") {
  DataFolder const folder;
  io::Raster const flat{8, 8, 3, std::vector<std::uint8_t>(192, 77)};
  folder.write("a/x.jpg", jpeg_of(flat));
  folder.write("a/y.jpeg", io::encode_png(flat));
  ImageSet const set = load(folder.path());
  CHECK(set.size() == 2);
  CHECK(set.shape() == ImageShape{3, 8, 8});
  CHECK(byte_image(set, 0) == flat.pixels);
  CHECK(byte_image(set, 1) == flat.pixels);
  folder.write("a/grey.jpg", jpeg_of({8, 8, 1, std::vector<std::uint8_t>(64, 90)}));
  auto const mixed = failure_of([&] { load(folder.path()); });
  CHECK(mixed->code == "mixed-shapes");
  CHECK(contains(mixed->message, "channels 1 or 3"));
  LoadOptions options;
  options.channels = 3;
  CHECK(byte_image(load(folder.path(), options), 0) == std::vector<std::uint8_t>(192, 90));
}

TEST_CASE("mixed sizes need a rule, and the message names both files") {
  DataFolder const folder;
  folder.write("a/1.png", png_of(4, 4, 1));
  folder.write("a/2.png", png_of(6, 5, 1));
  auto const mixed = failure_of([&] { load(folder.path()); });
  CHECK(mixed->status == 65);
  CHECK(contains(mixed->message, (folder / "a/2.png").string() + ": is an image of 1 x 5 x 6"));
  CHECK(contains(mixed->message, "1 x 4 x 4 as " + (folder / "a/1.png").string()));
  CHECK(contains(mixed->message, "choose a resize rule"));
  auto const resize = GENERATE(Resize::box, Resize::bilinear, Resize::center_crop);
  LoadOptions options;
  options.resize = resize;
  options.size = 3;
  ImageSet const set = load(folder.path(), options);
  CHECK(set.shape() == ImageShape{1, 3, 3});
  CHECK(byte_image(set, 1) == resized(pattern(6, 5, 1), 3, resize).pixels);
  options = {};
  options.size = 6;
  CHECK(contains(failure_of([&] { load(folder.path(), options); })->message,
                 "expected 1 x 6 x 6 as the options say"));
}

TEST_CASE("broken files are named, counted and left out") {
  DataFolder const folder;
  write_two_classes(folder);
  std::vector<std::byte> whole = png_of(4, 4, 1);
  folder.write("dog/aa_text.png", "<html>not found</html>");
  folder.write("cat/a_short.png", std::vector<std::byte>(whole.begin(), whole.end() - 20));
  folder.write("dog/empty.png", "");
  std::vector<std::byte> jpeg = jpeg_of(pattern(4, 4, 1));
  jpeg.resize(jpeg.size() - 40);
  folder.write("dog/short.jpg", jpeg);
  ImageSet const set = load(folder.path());
  CHECK(set.size() == 4);
  CHECK(set.label(0) == 0);
  CHECK(byte_image(set, 0) == pattern(4, 4, 1, 4).pixels);
  CHECK(byte_image(set, 1) == pattern(4, 4, 1, 2).pixels);
  REQUIRE(set.broken().size() == 4);
  CHECK(set.broken()[0].path == (folder / "cat/a_short.png").string());
  CHECK(contains(set.broken()[0].reason, "the file ends early"));
  CHECK(contains(set.broken()[1].reason, "neither as a PNG nor as a JPEG"));
  CHECK(contains(set.broken()[2].reason, "empty"));
  CHECK(contains(set.broken()[3].reason, "JPEG"));
  for (Broken const& broken : set.broken()) {
    CHECK_FALSE(contains(broken.reason, "\n"));
  }
  LoadOptions options;
  options.strict = true;
  auto const strict = failure_of([&] { load(folder.path(), options); });
  CHECK(strict->status == 65);
  CHECK(contains(strict->message, "a_short.png"));
}

TEST_CASE("what cannot be trained on is refused") {
  DataFolder const folder;
  CHECK(failure_of([&] { load(folder.path()); })->code == "no-images");
  CHECK(failure_of([&] { load(folder / "missing"); })->status == 66);
  write_two_classes(folder);
  std::filesystem::create_directories(folder / "emu");
  auto const empty = failure_of([&] { load(folder.path()); });
  CHECK(empty->code == "empty-class");
  CHECK(contains(empty->message, "class folder 'emu' holds no image"));
  LoadOptions options;
  options.classes = {"dog"};
  CHECK(load(folder.path(), options).size() == 3);
  folder.write("emu/x.png", "text");
  auto const broken = failure_of([&] { load(folder.path()); });
  CHECK(broken->code == "empty-class");
  CHECK(contains(broken->message, "no image of class 'emu' could be decoded"));
  folder.write("loose.png", png_of(4, 4, 1));
  CHECK(failure_of([&] { load(folder.path()); })->code == "no-class-folder");
  options = {};
  options.channels = 2;
  CHECK(failure_of([&] { load(folder.path(), options); })->status == 2);
  options = {};
  options.resize = Resize::box;
  CHECK(failure_of([&] { load(folder.path(), options); })->status == 2);
}

TEST_CASE("a budget of memory changes nothing but where images are decoded") {
  DataFolder const folder;
  write_two_classes(folder);
  folder.write("cat/a.png", "broken");
  LoadOptions options;
  ImageSet const whole = load(folder.path(), options);
  options.memory = GENERATE(0U, 40U);
  options.threads = GENERATE(1U, 4U);
  ImageSet const part = load(folder.path(), options);
  CHECK(part.memory() == options.memory / 16 * 16);
  CHECK(part.digest() == whole.digest());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CHECK(image(part, i) == image(whole, i));
  }
  folder.write("dog/deep/er/c.PNG", png_of(4, 4, 1, 9));
  CHECK(failure_of([&] { image(part, 3); })->code == "image-changed");
  CHECK(byte_image(whole, 3) == pattern(4, 4, 1, 3).pixels);
}

TEST_CASE("the digest tells sets apart") {
  DataFolder const folder;
  write_two_classes(folder);
  LoadOptions options;
  std::string const digest = load(folder.path(), options).digest();
  CHECK(digest.starts_with("xxh3-128:"));
  CHECK(load(folder.path(), options).digest() == digest);
  options.invert = true;
  CHECK(load(folder.path(), options).digest() != digest);
  options = {};
  options.label_offset = 1;
  CHECK(load(folder.path(), options).digest() != digest);
  folder.write("cat/z.png", png_of(4, 4, 1, 5));
  std::string const other = load(folder.path()).digest();
  CHECK(other != digest);
  std::filesystem::rename(folder / "cat/z.png", folder / "cat/y.png");
  CHECK(load(folder.path()).digest() != other);
}

TEST_CASE("an archive is read as the folder it was made of") {
  DataFolder const folder;
  ZipEntries const entries{{"set/", {}},
                           {"set/dog/", {}},
                           {"set/dog/b.png", png_of(4, 4, 1, 1)},
                           {"set/dog/deep/a.png", png_of(4, 4, 1, 2)},
                           {"set/cat/a.png", png_of(4, 4, 1, 3)},
                           {"set/cat/short.png", {std::byte{1}, std::byte{2}}},
                           {"__MACOSX/set/cat/._a.png", {}}};
  write_zip(folder / "set.zip", entries);
  for (auto const& [name, bytes] : entries) {
    if (name.starts_with("set/") && !name.ends_with("/")) {
      folder.write("unpacked/" + name.substr(4), bytes);
    }
  }
  LoadOptions options;
  options.memory = GENERATE(0U, 1000U);
  ImageSet const set = load(folder / "set.zip", options);
  CHECK(set.class_names() == std::vector<std::string>{"cat", "dog"});
  CHECK(set.size() == 3);
  CHECK(byte_image(set, 0) == pattern(4, 4, 1, 3).pixels);
  CHECK(byte_image(set, 1) == pattern(4, 4, 1, 1).pixels);
  REQUIRE(set.broken().size() == 1);
  CHECK(set.broken()[0].path == (folder / "set.zip").string() + ":set/cat/short.png");
  CHECK(set.digest() == load(folder / "unpacked").digest());
}

TEST_CASE("an archive of one class folder keeps the class") {
  DataFolder const folder;
  write_zip(folder / "cat.zip", {{"cat/a.png", png_of(4, 4, 1)}});
  CHECK(load(folder / "cat.zip").class_names() == std::vector<std::string>{"cat"});
}

TEST_CASE("a damaged archive is refused or its entry named") {
  DataFolder const folder;
  write_zip(folder / "good.zip", {{"a/1.png", png_of(40, 40, 3)}, {"a/2.png", png_of(40, 40, 3)}});
  std::ifstream in(folder / "good.zip", std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  folder.write("short.zip", std::string_view(bytes).substr(0, bytes.size() - 30));
  auto const cut = failure_of([&] { load(folder / "short.zip"); });
  CHECK(cut->code == "broken-archive");
  CHECK(cut->status == 65);
  bytes[60] = static_cast<char>(bytes[60] ^ 0x55);
  folder.write("flipped.zip", bytes);
  ImageSet const set = load(folder / "flipped.zip");
  CHECK(set.size() == 1);
  REQUIRE(set.broken().size() == 1);
  CHECK(contains(set.broken()[0].reason, "entry 'a/1.png'"));
  write_zip(folder / "empty.zip", {{"a/readme", {std::byte{1}}}});
  CHECK(failure_of([&] { load(folder / "empty.zip"); })->code == "no-images");
}

TEST_CASE("omniglot is read as its archive has it") {
  auto const path = shared_data("data/omniglot/images_background_small1.zip");
  LoadOptions options = boxed(32);
  ImageSet const set = load(path, options);
  CHECK(set.size() == 2720);
  CHECK(set.shape() == ImageShape{1, 32, 32});
  CHECK(set.class_names() ==
        std::vector<std::string>{"Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"});
  CHECK(set.broken().empty());
  // Recorded from Pillow 13.0: all images, in this order, by resize((32, 32), BOX).
  io::Sha256 hash;
  for (std::size_t i = 0; i < set.size(); ++i) {
    std::vector<std::uint8_t> const bytes = byte_image(set, i);
    hash.update(std::as_bytes(std::span(bytes)));
  }
  CHECK(io::digest_text<io::Sha256>(hash.finish()) ==
        "2fc6a47cbc8cfc39e83fba24aa9ebf4f667213e22739764af5ff4dee6b3dfaf3");
  std::vector<std::uint8_t> const first = byte_image(set, 0);
  CHECK(std::vector<std::uint8_t>(first.begin() + 10 * 32, first.begin() + 11 * 32) ==
        std::vector<std::uint8_t>{255, 255, 255, 255, 255, 255, 227, 113, 85,  113, 255,
                                  255, 255, 255, 255, 255, 255, 255, 255, 21,  0,   85,
                                  0,   107, 255, 255, 255, 255, 255, 255, 255, 255});

  options.class_depth = 2;
  CHECK(load(path, options).classes() == 136);
  options.class_depth = 1;
  options.classes = {"Latin", "Greek"};
  CHECK(load(path, options).size() == 20 * (26 + 24));
}
