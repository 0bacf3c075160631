// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/linalg/activation.hpp>
#include <dashi/linalg/backend.hpp>
#include <dashi/linalg/batched_gemm.hpp>
#include <dashi/linalg/describe.hpp>
#include <dashi/linalg/element.hpp>
#include <dashi/linalg/epilogue.hpp>
#include <dashi/linalg/factor_call.hpp>
#include <dashi/linalg/gemm.hpp>
#include <dashi/linalg/gemm_call.hpp>
#include <dashi/linalg/norms.hpp>
#include <dashi/linalg/op.hpp>
#include <dashi/linalg/operand.hpp>
#include <dashi/linalg/qr.hpp>
#include <dashi/linalg/randomised_svd.hpp>
#include <dashi/linalg/svd.hpp>
