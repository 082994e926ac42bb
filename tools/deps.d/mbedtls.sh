# Mbed TLS: the three libraries with our configuration, which is also what consumers include. Its internal headers go to
# include/mbedtls_internal, for the one file of ours that needs them.
mbedtls_crypto='aesce asn1parse asn1write base64 bignum bignum_core bignum_mod bignum_mod_raw block_cipher chacha20
    chachapoly cipher cipher_wrap constant_time ecdh ecdsa ecp ecp_curves error gcm hkdf hmac_drbg md oid pem pk pk_ecc pk_wrap
    pkparse pkwrite platform platform_util poly1305 psa_crypto psa_crypto_aead psa_crypto_cipher psa_crypto_client
    psa_crypto_driver_wrappers_no_static psa_crypto_ecp psa_crypto_hash psa_crypto_mac psa_crypto_random psa_crypto_rsa
    psa_crypto_slot_management psa_util rsa rsa_alt_helpers sha1 sha256 sha512 threading'
mbedtls_x509='x509 x509_crt'
mbedtls_tls='ssl_ciphersuites ssl_client ssl_msg ssl_tls ssl_tls12_client ssl_tls12_server ssl_tls13_keys ssl_tls13_client
    ssl_tls13_server ssl_tls13_generic'

build_mbedtls() {
    local folder=$work/mbedtls common=(-O2 -Iinclude -Ilibrary)
    unpack mbedtls "$folder"
    install -m 644 "$here/deps.d/mbedtls_config.h" "$folder/include/mbedtls/mbedtls_config.h"
    mbedtls_aes "$folder" "${common[@]}"
    compile_archive libmbedcrypto.a "$folder" "${common[@]}" -- $(printf 'library/%s.c ' $mbedtls_crypto)
    compile_archive libmbedx509.a "$folder" "${common[@]}" -- $(printf 'library/%s.c ' $mbedtls_x509)
    compile_archive libmbedtls.a "$folder" "${common[@]}" -- $(printf 'library/%s.c ' $mbedtls_tls)
    install_headers mbedtls "$folder"/include/mbedtls/*.h
    install_headers psa "$folder"/include/psa/*.h
    install_headers mbedtls_internal "$folder"/library/*.h
}

# aesni.c alone may use the instructions it is named after: its run-time check keeps older CPUs working. aes.c must see the same
# choice (it then aligns round keys, which the intrinsics need); these two flags let no compiler use anything beyond SSE2 unasked.
mbedtls_aes() {
    local folder=$1 seen=() used=()
    shift
    case $("$cc" -dumpmachine) in x86_64-*) seen=(-maes -mpclmul); used=("${seen[@]}" -mssse3) ;; esac
    compile_archive libmbedcrypto.a "$folder" "$@" "${seen[@]}" -- library/aes.c
    compile_archive libmbedcrypto.a "$folder" "$@" "${used[@]}" -- library/aesni.c
}
